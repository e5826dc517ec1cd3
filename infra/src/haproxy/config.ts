/** HAProxy's configuration: which worker of a cluster gets a request. */
import { QUEUE_LIMIT } from '../settings.ts';
import { DEFAULTS } from './defaults.ts';

/** Where the workers are: a name whose addresses they are, or the addresses themselves. */
type Workers =
  | { kind: 'name'; name: string; port: number; max: number }
  | { kind: 'addresses'; addresses: readonly string[] };

export type HaproxyOptions = {
  /** Address and port that the edge asks. */
  bind: string;
  /** Address and port of `/healthz` and `/metrics`. */
  bindMetrics: string;
  workers: Workers;
  /** Sequences that a worker decodes together. */
  slots: number;
};

/**
 * The file as a text. Requests about one image go to one worker, whose caches know it (`x-image`, as long as that worker has no
 * more than 1.5 of the mean load); those without the header go to each worker in turn.
 */
export function haproxyConfig({ bind, bindMetrics, workers, slots }: HaproxyOptions): string {
  // Slots and reserve, and what may wait for them: beyond it the worker would refuse, so that it waits here.
  const perWorker = 2 * slots + QUEUE_LIMIT;
  return `# Made by "npm run infra -- haproxy"; infra/src/haproxy/config.ts says why.
global
  log stdout format raw local0 notice
  # Twice as many files are open at most: more than some systems allow, and HAProxy does not start.
  maxconn 8000
  # A reload leaves old processes to their streams for so long.
  hard-stop-after 60s

${DEFAULTS}

${resolversOf(workers)}frontend edge
  bind ${bind}
  # What a worker says to machines of its own network is not for the edge.
  http-request deny deny_status 404 if { path /metrics }
  default_backend workers

backend workers
  balance hdr(x-image)
  hash-type consistent
  hash-balance-factor 150
  option httpchk
  # A worker refuses what names no host.
  http-check send meth GET uri /readyz ver HTTP/1.1 hdr host worker
  http-check expect status 200
  retries 2
  retry-on conn-failure empty-response 503
  option redispatch 1
  # By the connection, not by replies: a worker says 503 when it is full, and three of these would take it from those it serves.
  # A worker that goes down for us may be one that drains: its streams go on, so nothing shuts them down.
  default-server check inter 500ms fall 2 rise 2 observe layer4 error-limit 3 on-error mark-down slowstart 2s maxconn ${perWorker}
.if version_atleast(3.0)
  # Several HAProxies choose the same worker, whatever the order in which names are resolved.
  default-server hash-key addr-port
.endif
${serversOf(workers)}
frontend metrics
  bind ${bindMetrics}
  monitor-uri /healthz
  http-request use-service prometheus-exporter if { path /metrics }
  http-request return status 404
`;
}

function resolversOf(workers: Workers): string {
  if (workers.kind === 'addresses') return '';
  return `resolvers cluster
  parse-resolv-conf
  accepted_payload_size 8192
  hold valid 1s
  hold obsolete 2s
  timeout resolve 1s

`;
}

function serversOf(workers: Workers): string {
  if (workers.kind === 'addresses') {
    return workers.addresses
      .map((address, index) => `  server worker${index + 1} ${address}\n`)
      .join('');
  }
  const { name, port, max } = workers;
  return `  server-template worker 1-${max} ${name}:${port} resolvers cluster resolve-prefer ipv4 init-addr none\n`;
}
