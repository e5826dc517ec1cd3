/** HAProxy before the interactive workers, at the one address that the edge asks. */
import { createHash } from 'node:crypto';
import { Deployment } from 'kubernetes-models/apps/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Service } from 'kubernetes-models/v1';
import { haproxyConfig } from '../haproxy/config.ts';
import { LEAVE_S, REQUEST_DEADLINE_S, type Settings } from '../settings.ts';
import {
  confined,
  HAPROXY_METRICS_PORT,
  HAPROXY_PORT,
  labelsOf,
  metadataOf,
  nameOf,
  restricted,
  spread,
  WORKER_PORT,
} from './pods.ts';

/** `infra/haproxy/haproxy.cfg`, which runs in the cluster. */
export function clusterHaproxy(settings: Settings): string {
  return haproxyConfig({
    bind: `:${HAPROXY_PORT}`,
    bindMetrics: `:${HAPROXY_METRICS_PORT}`,
    workers: {
      kind: 'name',
      name: `${nameOf('interactive')}.${settings.namespace}.svc.cluster.local`,
      port: WORKER_PORT,
      max: settings.maxInteractive,
    },
    slots: settings.slots,
  });
}

export function balancerOf(settings: Settings) {
  const config = clusterHaproxy(settings);
  const digest = createHash('sha256').update(config).digest('hex').slice(0, 16);
  const metadata = metadataOf('haproxy', settings);
  const selector = { matchLabels: labelsOf('haproxy') };
  return [
    new ConfigMap({ metadata, data: { 'haproxy.cfg': config } }),
    new Deployment({
      metadata,
      spec: {
        replicas: 2,
        selector,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: {
            labels: labelsOf('haproxy'),
            annotations: {
              // Another configuration is another pod.
              'blip2/config': digest,
              'prometheus.io/scrape': 'true',
              'prometheus.io/port': `${HAPROXY_METRICS_PORT}`,
            },
          },
          spec: restricted({
            terminationGracePeriodSeconds: LEAVE_S + REQUEST_DEADLINE_S + 5,
            containers: [containerOf(settings)],
            volumes: [{ name: 'config', configMap: { name: nameOf('haproxy') } }],
            ...spread('haproxy'),
          }),
        },
      },
    }),
    new PodDisruptionBudget({ metadata, spec: { minAvailable: 1, selector } }),
    new Service({
      metadata,
      spec: {
        selector: labelsOf('haproxy'),
        ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      },
    }),
  ];
}

function containerOf({ haproxyImage }: Settings) {
  const asks = { httpGet: { path: '/healthz', port: 'metrics' } };
  return confined({
    name: 'haproxy',
    image: haproxyImage,
    command: ['haproxy', '-W', '-db', '-f', '/etc/haproxy/haproxy.cfg'],
    ports: [
      { name: 'http', containerPort: HAPROXY_PORT },
      { name: 'metrics', containerPort: HAPROXY_METRICS_PORT },
    ],
    livenessProbe: { ...asks, periodSeconds: 10, failureThreshold: 3 },
    readinessProbe: { ...asks, periodSeconds: 2, failureThreshold: 2 },
    // It ends streams at SIGTERM, and finishes them at SIGUSR1. The image has a shell; the last process is the master's.
    lifecycle: {
      preStop: {
        exec: {
          command: ['/bin/sh', '-c', `sleep ${LEAVE_S}; kill -USR1 1; sleep ${REQUEST_DEADLINE_S}`],
        },
      },
    },
    resources: { requests: { cpu: '500m', memory: '256Mi' }, limits: { memory: '512Mi' } },
    volumeMounts: [{ name: 'config', mountPath: '/etc/haproxy', readOnly: true }],
  });
}
