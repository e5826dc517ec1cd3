/** How many workers there are: KEDA counts what waits. */
import { ScaledObject, TriggerAuthentication } from '@kubernetes-models/keda/keda.sh/v1alpha1';
import type { Settings } from '../settings.ts';
import { metadataOf, nameOf, SECRET } from './pods.ts';

/** Requests that are at the interactive workers, which Prometheus asks every worker. */
const ADMITTED_QUERY = 'sum(blip2_num_requests_admitted{job="blip2-worker",pool="interactive"})';

const AUTHENTICATION = 'blip2-queue';
/** Seconds for which there has to be less to do before a worker is taken away. */
const CALM_S = 300;

export function scalingOf(settings: Settings) {
  const { slots, maxInteractive, maxJobs, queueUrl, region, prometheusUrl } = settings;
  const calm = {
    horizontalPodAutoscalerConfig: {
      behavior: { scaleDown: { stabilizationWindowSeconds: CALM_S } },
    },
  };
  return [
    new TriggerAuthentication({
      metadata: metadataOf('jobs', settings, AUTHENTICATION),
      spec: {
        secretTargetRef: [
          { parameter: 'awsAccessKeyID', name: SECRET, key: 'aws-access-key-id' },
          { parameter: 'awsSecretAccessKey', name: SECRET, key: 'aws-secret-access-key' },
        ],
      },
    }),
    new ScaledObject({
      metadata: metadataOf('jobs', settings),
      spec: {
        scaleTargetRef: { name: nameOf('jobs') },
        minReplicaCount: 0,
        maxReplicaCount: maxJobs,
        pollingInterval: 15,
        cooldownPeriod: CALM_S,
        advanced: calm,
        triggers: [
          {
            type: 'aws-sqs-queue',
            metadata: {
              queueURL: queueUrl,
              awsRegion: region,
              // Two for each slot: one that runs, and one that is next.
              queueLength: `${2 * slots}`,
              // What a worker has received is still to be done: it is not taken away meanwhile.
              scaleOnInFlight: 'true',
            },
            authenticationRef: { name: AUTHENTICATION },
          },
        ],
      },
    }),
    new ScaledObject({
      metadata: metadataOf('interactive', settings),
      spec: {
        scaleTargetRef: { name: nameOf('interactive') },
        minReplicaCount: 1,
        maxReplicaCount: maxInteractive,
        pollingInterval: 15,
        advanced: calm,
        // Without Prometheus there are as many as there were; a new one of those that could not be counted is one.
        fallback: { failureThreshold: 4, replicas: 1, behavior: 'currentReplicasIfHigher' },
        triggers: [
          {
            type: 'prometheus',
            metadata: {
              serverAddress: prometheusUrl,
              query: ADMITTED_QUERY,
              threshold: `${slots}`,
            },
          },
        ],
      },
    }),
  ];
}
