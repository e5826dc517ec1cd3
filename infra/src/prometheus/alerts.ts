/** What is worth waking somebody for, as rules for Prometheus. Each has a section in docs/operations.md. */
import { stringify } from 'yaml';

type Alert = {
  name: string;
  /** Prometheus' language over metrics of docs/metrics.md, of HAProxy, and `up`. */
  expr: string;
  /** How long it has to hold. */
  for: string;
  /** `critical`: people get no answers. `warning`: they wait, or will. */
  severity: 'critical' | 'warning';
  summary: string;
};

const WORKERS = 'job="blip2-worker"';
const INTERACTIVE = `${WORKERS},pool="interactive"`;

const p95 = (histogram: string) =>
  `histogram_quantile(0.95, sum by (le) (rate(${histogram}_bucket{${INTERACTIVE}}[5m])))`;
const rate = (counter: string, labels = '') => `sum(rate(${counter}{${INTERACTIVE}${labels}}[5m]))`;

export const ALERTS: readonly Alert[] = [
  {
    name: 'NoInteractiveWorker',
    expr: `absent(up{${INTERACTIVE}} == 1)`,
    for: '1m',
    severity: 'critical',
    summary: 'No GPU worker answers people',
  },
  {
    name: 'BalancerHasNoWorker',
    expr: 'haproxy_backend_active_servers{job="blip2-haproxy",proxy="workers"} == 0',
    for: '1m',
    severity: 'critical',
    summary: 'HAProxy {{ $labels.instance }} sees no worker that is ready',
  },
  {
    name: 'WorkerDown',
    expr: `up{${WORKERS}} == 0`,
    for: '2m',
    severity: 'warning',
    summary: 'GPU worker {{ $labels.instance }} does not answer',
  },
  {
    name: 'WorkerStandsStill',
    expr: `sum by (instance, pool) (blip2_num_requests_admitted{${WORKERS}}) > 0 unless sum by (instance, pool) (rate(blip2_engine_action_seconds_count{${WORKERS}}[2m])) > 0`,
    for: '2m',
    severity: 'critical',
    summary: 'GPU worker {{ $labels.instance }} has requests and computes nothing',
  },
  {
    name: 'WorkerRestarts',
    expr: `changes(process_start_time_seconds{${WORKERS}}[30m]) > 2`,
    for: '0m',
    severity: 'warning',
    summary: 'GPU worker {{ $labels.instance }} was started again and again',
  },
  {
    name: 'RequestsFail',
    expr: `${rate('blip2_requests_total', ',outcome="failed"')} / ${rate('blip2_requests_total')} > 0.02`,
    for: '5m',
    severity: 'critical',
    summary: 'More than 2 % of the requests that were admitted fail',
  },
  {
    name: 'RequestsRejected',
    // Where all are rejected, none has ended, and nothing has counted those that did.
    expr: `${rate('blip2_requests_rejected_total')} / ((${rate('blip2_requests_total')} or vector(0)) + ${rate('blip2_requests_rejected_total')}) > 0.05`,
    for: '5m',
    severity: 'critical',
    summary: 'More than 5 % of the requests are rejected because queues are full',
  },
  {
    name: 'FirstTokenIsLate',
    expr: `${p95('blip2_time_to_first_token_seconds')} > 2.5`,
    for: '10m',
    severity: 'warning',
    summary: 'One request in twenty waits more than 2.5 s for its first token',
  },
  {
    name: 'TokensAreSlow',
    expr: `${p95('blip2_inter_token_latency_seconds')} > 0.25`,
    for: '10m',
    severity: 'warning',
    summary: 'One token in twenty takes more than a quarter of a second',
  },
  {
    name: 'ImagesWait',
    expr: `max by (instance) (blip2_num_images_waiting{${INTERACTIVE}}) > 16`,
    for: '5m',
    severity: 'warning',
    summary: 'Images wait to be decoded at {{ $labels.instance }}',
  },
  {
    name: 'DecodersEnd',
    expr: `sum by (instance, reason) (increase(blip2_decode_processes_ended_total{${WORKERS},reason=~"crash|stuck|memory|outside"}[15m])) > 5`,
    for: '0m',
    severity: 'warning',
    summary:
      'Processes that decode images ended at {{ $labels.instance }}, by {{ $labels.reason }}',
  },
];

const RUNBOOK = 'docs/operations.md#';

/** `infra/prometheus/alerts.yml`. */
export function alertsYaml(): string {
  const rules = ALERTS.map(({ name, expr, for: duration, severity, summary }) => ({
    alert: name,
    expr,
    for: duration,
    labels: { severity },
    annotations: { summary, runbook: `${RUNBOOK}${name.toLowerCase()}` },
  }));
  const groups = [{ name: 'blip2', rules }];
  return `# Made by "npm run infra -- alerts".\n${stringify({ groups }, { lineWidth: 0 })}`;
}
