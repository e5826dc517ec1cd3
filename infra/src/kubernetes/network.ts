/** Who may talk to whom: workers trust whoever reaches them, so that only HAProxy and Prometheus do. */
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import type { Settings } from '../settings.ts';
import {
  type Component,
  HAPROXY_METRICS_PORT,
  HAPROXY_PORT,
  labelsOf,
  metadataOf,
  WORKER_PORT,
} from './pods.ts';

/** Label of the namespaces whose pods may ask HAProxy: that of the tunnel to the edge. */
const GATEWAY = { 'blip2/gateway': 'true' };
/** Label of the namespace of Prometheus. */
const MONITORING = { 'blip2/monitoring': 'true' };

export function networkOf(settings: Settings) {
  const monitoring = { namespaceSelector: { matchLabels: MONITORING } };
  const gateway = { namespaceSelector: { matchLabels: GATEWAY } };
  const haproxy = { podSelector: { matchLabels: labelsOf('haproxy') } };
  const policy = (component: Component, ingress: { from: object[]; port: number }[]) =>
    new NetworkPolicy({
      metadata: metadataOf(component, settings),
      spec: {
        podSelector: { matchLabels: labelsOf(component) },
        policyTypes: ['Ingress'],
        ingress: ingress.map(({ from, port }) => ({ from, ports: [{ port, protocol: 'TCP' }] })),
      },
    });
  return [
    policy('interactive', [{ from: [haproxy, monitoring], port: WORKER_PORT }]),
    policy('jobs', [{ from: [monitoring], port: WORKER_PORT }]),
    policy('haproxy', [
      { from: [gateway], port: HAPROXY_PORT },
      { from: [monitoring], port: HAPROXY_METRICS_PORT },
    ]),
    policy('parts', []),
  ];
}
