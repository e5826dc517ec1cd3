/** What all pods have in common: names, ports, and that they may do nothing but their work. */
import type { IObjectMeta } from '@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { Settings } from '../settings.ts';

/** What runs in a cluster: workers for people, workers for jobs, the balancer before the first, and the offline job. */
export type Component = 'interactive' | 'jobs' | 'haproxy' | 'parts';

export const WORKER_PORT = 8788;
export const HAPROXY_PORT = 8080;
export const HAPROXY_METRICS_PORT = 8404;

/** The Secret that the operator makes; see docs/deploy.md for its keys. */
export const SECRET = 'blip2-secrets';

export const nameOf = (component: Component) => `blip2-${component}`;

export const labelsOf = (component: Component) => ({
  'app.kubernetes.io/name': 'blip2',
  'app.kubernetes.io/component': component,
});

export function metadataOf(
  component: Component,
  { namespace }: Settings,
  name: string = nameOf(component),
): IObjectMeta {
  return { name, namespace, labels: labelsOf(component) };
}

/** A pod without rights: no root, no token of the cluster, no system call beyond the usual ones. */
export function restricted(pod: IPodSpec): IPodSpec {
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 10_001,
      runAsGroup: 10_001,
      fsGroup: 10_001,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...pod,
  };
}

/** A container that writes nowhere but into its volumes. */
export function confined(container: IContainer): IContainer {
  return {
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    ...container,
  };
}

/** Pods of one kind on as many nodes as there are: one that is lost takes few with it. */
export function spread(component: Component): Pick<IPodSpec, 'topologySpreadConstraints'> {
  return {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: labelsOf(component) },
      },
    ],
  };
}
