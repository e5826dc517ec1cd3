/** HAProxy's configuration before a service of `npm start` that others than its machine reach. */

import { PROBLEMS, type ProblemSlug } from '@blip2/shared/errors';
import { DEFAULTS } from './defaults.ts';

export type FrontOptions = {
  /** Address and port that clients ask, and with TLS its certificate: `:443 ssl crt FILE alpn h2,http/1.1`. */
  bind: string;
  /** Where the service listens. */
  service: string;
};

/** Beyond it a client is refused: browsers open six. */
const CONNECTIONS_OF_AN_ADDRESS = 100;

const PROBLEM = 'content-type application/problem+json';

/** The file as a text. What HAProxy says for the service is a problem of the API; what it cannot read it refuses with words of its own. */
export function frontConfig({ bind, service }: FrontOptions): string {
  return `# Made by "npm run infra -- front"; infra/src/haproxy/front.ts says why.
global
  log stdout format raw local0 notice
  # Twice as many files are open at most, and workerd ends where it may open no more.
  maxconn 4000
  # Lines of a head. workerd joins those of one name at a cost that grows with the square of their number: 15,000 took it two seconds.
  tune.http.maxhdr 100
  # Bytes of a head, and of its replacements.
  tune.bufsize 32768
  # A reload leaves old processes to their streams for so long.
  hard-stop-after 60s

${DEFAULTS}
  # Whoever closes a connection has left: workerd learns of it at once.
  option abortonclose
${problem(503, 'overloaded', 'The service does not answer, or has too many connections. Try again shortly.')}
${problem(504, 'deadline-exceeded', 'The service has not answered within 120 seconds.')}

# Connections by address, of IPv6 by network.
backend addresses
  stick-table type ipv6 size 200k expire 60s store conn_cur

frontend public
  bind ${bind}
  tcp-request connection track-sc0 src,ipmask(32,64) table addresses
  tcp-request connection reject if { sc0_conn_cur gt ${CONNECTIONS_OF_AN_ADDRESS} }
  # The service reads it with CLIENT_ADDRESS_HEADER=x-real-ip: no client chooses its address.
  http-request set-header x-real-ip %[src]
  default_backend service

backend service
  retries 3
  retry-on conn-failure
  # workerd closes a connection that is idle for five seconds.
  server edge ${service} pool-purge-delay 2s
`;
}

function problem(status: number, slug: ProblemSlug, detail: string): string {
  const { title } = PROBLEMS[slug];
  const body = JSON.stringify({ type: `/problems/${slug}`, title, status, detail });
  return `  http-error status ${status} ${PROBLEM} string '${body}'`;
}
