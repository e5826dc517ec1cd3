/** GPU workers: those that people wait for, and those for jobs. */
import { Deployment } from 'kubernetes-models/apps/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { Service } from 'kubernetes-models/v1';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IEnvVar } from 'kubernetes-models/v1/EnvVar';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { LEAVE_S, QUEUE_LIMIT, type Settings, TERMINATION_S } from '../settings.ts';
import {
  confined,
  labelsOf,
  metadataOf,
  nameOf,
  restricted,
  SECRET,
  spread,
  WORKER_PORT,
} from './pods.ts';

type Pool = 'interactive' | 'jobs';

/** Where bundles and the hub's cache are: the same in the container that builds and the one that serves. */
const BUNDLES = '/bundles';
const NODE = ['/usr/local/bin/node'];

const fromSecret = (name: string, key: string, isOptional = false): IEnvVar => ({
  name,
  valueFrom: { secretKeyRef: { name: SECRET, key, ...(isOptional && { optional: true }) } },
});

export function workersOf(settings: Settings) {
  return [
    deploymentOf('interactive', settings),
    addressesOf('interactive', settings),
    // Not "at least one available": a drain of the only worker's node would wait for ever.
    new PodDisruptionBudget({
      metadata: metadataOf('interactive', settings),
      spec: { maxUnavailable: 1, selector: { matchLabels: labelsOf('interactive') } },
    }),
    deploymentOf('jobs', settings),
    addressesOf('jobs', settings),
  ];
}

function deploymentOf(pool: Pool, settings: Settings): Deployment {
  return new Deployment({
    metadata: metadataOf(pool, settings),
    spec: {
      // Without `replicas`: KEDA's number of them stands when this is applied again.
      selector: { matchLabels: labelsOf(pool) },
      // Where each GPU is taken, a new one waits for an old one's place.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
      template: {
        metadata: {
          labels: labelsOf(pool),
          annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': `${WORKER_PORT}` },
        },
        spec: restricted(podOf(pool, settings)),
      },
    },
  });
}

function podOf(pool: Pool, settings: Settings): IPodSpec {
  const { accelerator } = settings;
  const builds = [settings.checkpoint, settings.retrievalCheckpoint]
    .filter((checkpoint) => checkpoint !== undefined && checkpoint !== 'embedded')
    .map((checkpoint, index) => builderOf(`build-${index}`, checkpoint!, settings));
  return {
    terminationGracePeriodSeconds: TERMINATION_S,
    ...(builds.length > 0 && { initContainers: builds }),
    containers: [serverOf(pool, settings)],
    volumes: [
      { name: 'bundles', emptyDir: {} },
      { name: 'tmp', emptyDir: { sizeLimit: '1Gi' } },
    ],
    ...spread(pool),
    ...(accelerator === 'cuda' && {
      tolerations: [
        { key: 'nvidia.com/gpu', operator: 'Exists' as const, effect: 'NoSchedule' as const },
      ],
    }),
  };
}

/** Pulls a checkpoint and builds its bundle: the token of the hub is here, and not where requests are served. */
function builderOf(name: string, checkpoint: string, { image }: Settings): IContainer {
  return confined({
    name,
    image,
    command: [...NODE, 'gpu-worker/src/cli/model.ts', 'build', checkpoint],
    env: [...storageOf(), fromSecret('HF_TOKEN', 'hf-token', true)],
    resources: { requests: { cpu: '2', memory: '12Gi' }, limits: { memory: '24Gi' } },
    volumeMounts: mounts(),
  });
}

function serverOf(pool: Pool, settings: Settings): IContainer {
  const { image, accelerator, checkpoint, retrievalCheckpoint, slots } = settings;
  const isEmbedded = checkpoint === 'embedded';
  const asks = (path: string) => ({ httpGet: { path, port: 'http' } });
  return confined({
    name: 'worker',
    image,
    ports: [{ name: 'http', containerPort: WORKER_PORT }],
    env: [
      { name: 'BLIP2_WORKER_HOST', value: '0.0.0.0' },
      { name: 'BLIP2_WORKER_PORT', value: `${WORKER_PORT}` },
      // Of those that only run jobs, too: probes come from outside of the pod.
      fromSecret('BLIP2_WORKER_SECRET', 'worker-secret'),
      ...(isEmbedded ? [] : [{ name: 'BLIP2_CHECKPOINT', value: checkpoint }]),
      ...(retrievalCheckpoint === undefined
        ? []
        : [{ name: 'BLIP2_RETRIEVAL_CHECKPOINT', value: retrievalCheckpoint }]),
      { name: 'BLIP2_EXECUTION_PROVIDER', value: accelerator },
      { name: 'BLIP2_MAX_SLOTS', value: `${slots}` },
      { name: 'BLIP2_QUEUE_LIMIT', value: `${QUEUE_LIMIT}` },
      ...storageOf(),
      // What is built is there: nothing of the hub is asked while requests are served.
      { name: 'HF_HUB_OFFLINE', value: '1' },
      ...(pool === 'jobs' ? jobsOf(settings) : []),
    ],
    // The port opens when the model is loaded.
    startupProbe: { ...asks('/healthz'), periodSeconds: 5, failureThreshold: 180 },
    livenessProbe: {
      ...asks('/healthz'),
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 3,
    },
    readinessProbe: {
      ...asks('/readyz'),
      periodSeconds: 2,
      timeoutSeconds: 2,
      failureThreshold: 2,
    },
    lifecycle: { preStop: { sleep: { seconds: LEAVE_S } } },
    resources:
      accelerator === 'cuda'
        ? {
            requests: { cpu: '4', memory: '16Gi' },
            limits: { memory: '16Gi', 'nvidia.com/gpu': 1 },
          }
        : { requests: { cpu: '4', memory: '16Gi' }, limits: { memory: '16Gi' } },
    volumeMounts: mounts(),
  });
}

function jobsOf({ queueUrl, deadLetterUrl, edgeUrl, region }: Settings): IEnvVar[] {
  return [
    { name: 'BLIP2_JOBS_QUEUE_URL', value: queueUrl },
    { name: 'BLIP2_JOBS_DEAD_LETTER_URL', value: deadLetterUrl },
    { name: 'BLIP2_JOBS_EDGE_URL', value: edgeUrl },
    { name: 'BLIP2_JOBS_REGION', value: region },
    fromSecret('BLIP2_JOBS_SECRET', 'jobs-secret'),
    fromSecret('AWS_ACCESS_KEY_ID', 'aws-access-key-id'),
    fromSecret('AWS_SECRET_ACCESS_KEY', 'aws-secret-access-key'),
  ];
}

function storageOf(): IEnvVar[] {
  return [
    { name: 'BLIP2_BUNDLES', value: BUNDLES },
    { name: 'HF_HOME', value: `${BUNDLES}/hub` },
  ];
}

const mounts = () => [
  { name: 'bundles', mountPath: BUNDLES },
  { name: 'tmp', mountPath: '/tmp' },
];

/** Has the addresses of all pods of a pool: for the balancer, and for who looks at one of them. */
function addressesOf(pool: Pool, settings: Settings): Service {
  return new Service({
    metadata: metadataOf(pool, settings, nameOf(pool)),
    spec: {
      clusterIP: 'None',
      selector: labelsOf(pool),
      ports: [{ name: 'http', port: WORKER_PORT, targetPort: 'http' }],
    },
  });
}
