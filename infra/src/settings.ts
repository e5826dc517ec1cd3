/** What an operator decides about a deployment, with values that stand for theirs. */
import { choice, httpUrl, text, wholeNumber } from '@blip2/shared/config/kinds';
import { nameOf, option, type Values } from '@blip2/shared/config/option';

const group = 'Deployment';

/** Options of what is generated; those of the service itself are its own (docs/configuration.md). */
export const SETTINGS = {
  namespace: option({
    flag: 'namespace',
    kind: text('NAME'),
    default: 'blip2',
    group,
    help: 'namespace of Kubernetes',
  }),
  image: option({
    flag: 'image',
    kind: text('IMAGE'),
    default: 'registry.example.com/blip2-gpu-worker:0.1.0',
    group,
    help: 'container image of the GPU worker, as infra/images builds it',
  }),
  haproxyImage: option({
    flag: 'haproxy-image',
    kind: text('IMAGE'),
    default: 'docker.io/library/haproxy:3.0',
    group,
    help: 'container image of HAProxy, 3.0 or later',
  }),
  accelerator: option({
    flag: 'accelerator',
    kind: choice('cuda', 'cpu'),
    default: 'cuda',
    group,
    help: 'cuda asks for one NVIDIA GPU for each worker',
  }),
  checkpoint: option({
    flag: 'checkpoint',
    kind: text('CHECKPOINT'),
    default: 'Salesforce/blip2-opt-2.7b',
    group,
    help: 'checkpoint on a hub, of which a worker builds its bundle, or "embedded"',
  }),
  retrievalCheckpoint: option({
    flag: 'retrieval-checkpoint',
    kind: text('CHECKPOINT'),
    defaultText: 'none',
    group,
    help: 'checkpoint of the retrieval model',
  }),
  edgeUrl: option({
    flag: 'edge-url',
    kind: httpUrl(),
    default: 'https://blip2-edge.example.com',
    group,
    help: 'address of the edge, to which results of jobs are committed',
  }),
  queueUrl: option({
    flag: 'queue-url',
    kind: httpUrl(),
    default: 'https://sqs.us-east-1.amazonaws.com/123456789012/blip2-jobs',
    group,
    help: 'URL of the SQS queue of jobs',
  }),
  deadLetterUrl: option({
    flag: 'dead-letter-url',
    kind: httpUrl(),
    default: 'https://sqs.us-east-1.amazonaws.com/123456789012/blip2-jobs-dead',
    group,
    help: 'URL of its dead-letter queue',
  }),
  region: option({
    flag: 'region',
    kind: text('REGION'),
    default: 'us-east-1',
    group,
    help: 'AWS region of the queues',
  }),
  prometheusUrl: option({
    flag: 'prometheus-url',
    kind: httpUrl(),
    default: 'http://prometheus.monitoring.svc.cluster.local:9090',
    group,
    help: 'address of the Prometheus that scrapes the workers, by which interactive ones are scaled',
  }),
  slots: option({
    flag: 'slots',
    kind: wholeNumber(1, 256),
    default: 8,
    group,
    help: 'sequences that a worker decodes together (BLIP2_MAX_SLOTS)',
  }),
  maxInteractive: option({
    flag: 'max-interactive',
    kind: wholeNumber(1, 1000),
    default: 8,
    group,
    help: 'interactive workers at most; there is at least one',
  }),
  firstTokenMs: option({
    flag: 'first-token-ms',
    kind: wholeNumber(1, 60_000, 'MS'),
    default: 1000,
    group,
    help: 'on AWS: where one first token in twenty takes longer, there are more interactive workers',
  }),
  maxJobs: option({
    flag: 'max-jobs',
    kind: wholeNumber(1, 1000),
    default: 16,
    group,
    help: 'workers for jobs at most; there is none while the queue is empty',
  }),
  tunnelSecret: option({
    flag: 'tunnel-secret',
    kind: text('NAME'),
    defaultText: 'none',
    group,
    help: 'on AWS: secret of Secrets Manager that is the token of a Cloudflare Tunnel, which then runs in the network of the workers',
  }),
  tunnelImage: option({
    flag: 'tunnel-image',
    kind: text('IMAGE'),
    default: 'docker.io/cloudflare/cloudflared:latest',
    group,
    help: 'on AWS: container image of that tunnel',
  }),
  parts: option({
    flag: 'parts',
    kind: wholeNumber(1, 100_000),
    default: 10,
    group,
    help: 'files of the offline job: part-00000.jsonl and so on',
  }),
};

export type Settings = Values<typeof SETTINGS>;

/** Hosts and accounts that nobody has. */
const EXAMPLE = /\.example\.com\b|\b123456789012\b/;

/** Flags of the settings whose examples, rather than values of an operator, are in what was generated. */
export function placeholdersIn(generated: string, settings: Settings): string[] {
  return Object.entries(SETTINGS).flatMap(([key, setting]) => {
    const value = String(settings[key as keyof Settings]);
    return EXAMPLE.test(value) && generated.includes(value) ? [nameOf(setting)] : [];
  });
}

/** Requests that wait at a worker for a slot (BLIP2_QUEUE_LIMIT). */
export const QUEUE_LIMIT = 64;
/** Seconds that a request of the edge takes at most (REQUEST_DEADLINE_MS). */
export const REQUEST_DEADLINE_S = 30;
/** Seconds for which a worker that is to end goes on with items of jobs. */
export const JOBS_GRACE_S = 20;
/** Seconds between the moment from which no new request is to come and SIGTERM: balancers hear of it meanwhile. */
export const LEAVE_S = 5;
/** Seconds after which a worker that is to end is killed: all that it still does fits. */
export const TERMINATION_S = LEAVE_S + REQUEST_DEADLINE_S + JOBS_GRACE_S + 5;
