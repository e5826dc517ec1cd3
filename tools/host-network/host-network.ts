/**
 * The network over which the Worker of `npm start` reaches hosts of which nothing is known: those of image URLs and of webhooks.
 *
 * workerd's own reads whatever a host sends before its reply, in one thread and without bounds: 14,000 lines of one
 * header take it 0.7 s and 800 MB, and it reads informational replies (1xx) for ever. Here a host is reached by Node, which
 * gives up in time, and workerd gets a reply with the few headers that the Worker reads.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { HOST_FAILURE, HostFailure } from '../../edge/src/image/host-failure.ts';
import { reachHost } from './reach-host.ts';
import type { ResolveOptions } from './resolve.ts';

export type HostNetwork = Place & { stop: () => Promise<void> };

/** Port of this machine, 0 for any that is free, and what is asked of whoever connects to it. */
export type Place = { port: number; secret: string };

const LOOPBACK = '127.0.0.1';
/** Keeps out other programs of this machine, and web pages. */
const SECRET = 'blip2-network-secret';
/** Of a request of the Worker: a URL of 8192 characters, and headers of its own. */
const MAX_REQUEST_HEADERS = 65_536;

/** What the Worker reads of a reply. */
const HANDED_ON = ['content-type', 'content-length', 'content-encoding', 'location'];
/** Of workerd's connection to here. Host and the length of a body that has none are made anew. */
const NOT_SENT = [SECRET, 'host', 'connection', 'keep-alive', 'transfer-encoding', 'upgrade'];

export const newSecret = () => randomBytes(24).toString('hex');

/** A network as miniflare binds it: workerd sends the whole URL, as to a proxy, and the secret. */
export function serviceOf({ port, secret: value }: Place) {
  const injectRequestHeaders = [{ name: SECRET, value }];
  const http = { style: 1 as const, injectRequestHeaders };
  return { external: { address: `${LOOPBACK}:${port}`, http } };
}

/** Serves in this thread. */
export async function startHostNetwork(
  options: ResolveOptions,
  { port: wanted, secret }: Place = { port: 0, secret: newSecret() },
): Promise<HostNetwork> {
  // workerd names the host in the URL alone.
  const settings = { maxHeaderSize: MAX_REQUEST_HEADERS, requireHostHeader: false };
  const server = createServer(settings, (request, response) => {
    void pass(request, response, secret, options);
  });
  // workerd may use a connection in the moment in which it would be closed.
  server.keepAliveTimeout = 0;
  await once(server.listen(wanted, LOOPBACK), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ...{ port, secret },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function pass(
  request: IncomingMessage,
  response: ServerResponse,
  secret: string,
  options: ResolveOptions,
): Promise<void> {
  const url = URL.parse(request.url ?? '');
  if (url === null || !isSame(request.headers[SECRET], secret)) {
    response.writeHead(403).end();
    return;
  }
  const gone = new AbortController();
  // The Worker reads no further, or its client is gone.
  response.once('close', () => gone.abort());
  try {
    const method = request.method ?? 'GET';
    const sent = Object.entries(request.headers).filter(([name]) => !NOT_SENT.includes(name));
    const asked = { url, method, headers: Object.fromEntries(sent), body: request };
    const reply = await reachHost({ ...asked, signal: gone.signal }, options);
    response.writeHead(reply.statusCode ?? 0, headersOf(reply));
    // What the headers say may be all that is wanted, and the host end the transfer.
    response.flushHeaders();
    await pipeline(reply, pieces, response);
  } catch (error) {
    if (response.headersSent) response.destroy();
    else response.writeHead(502, failureOf(error)).end();
  }
}

function isSame(header: string | string[] | undefined, secret: string): boolean {
  const [sent, expected] = [Buffer.from(String(header)), Buffer.from(secret)];
  return sent.length === expected.length && timingSafeEqual(sent, expected);
}

function headersOf({ statusCode, headers }: IncomingMessage): Record<string, string> {
  const hasBody = statusCode !== 204 && statusCode !== 304;
  const names = HANDED_ON.filter((name) => hasBody || name !== 'content-length');
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
}

/** What has come meanwhile in one piece, however small the chunks are in which the host sends it. */
async function* pieces(reply: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* reply;
}

/** A reply that cannot be handed on, with a status that is none, is as good as none. */
function failureOf(error: unknown): Record<string, string> {
  return { [HOST_FAILURE]: error instanceof HostFailure ? error.reason : 'lost' };
}
