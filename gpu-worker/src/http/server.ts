/** The HTTP server under the routes: its limits, and its replies to what never becomes a request. */
import { createServer, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError } from '@blip2/shared/errors';
import { getRequestListener } from '@hono/node-server';

/**
 * Longer than the edge's side leaves a connection idle (Cloudflare: 900 s): whoever closes one while a request is on its
 * way on it fails that request.
 */
const KEEP_ALIVE_MS = 920_000;
const HEADERS_MS = 10_000;
/** How often headers and bodies that take too long are looked for. */
const CHECK_MS = 2000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Whatever a connection costs, there are not more of them. */
const MAX_CONNECTIONS = 2048;

/** Statuses of what Node's parser refuses; all else is 400. */
const STATUS_OF: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
};

/** @param maxBodyMs after which a request that still sends its body is ended; each has a deadline of its own before that */
export function createHttpServer(
  fetch: (request: Request) => Response | Promise<Response>,
  maxBodyMs: number,
): Server {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      requestTimeout: maxBodyMs,
      connectionsCheckingInterval: CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    getRequestListener(fetch, { errorHandler: () => unreadable() }),
  );
  server.maxConnections = MAX_CONNECTIONS;
  // A second head amid a reply would be taken for a part of it.
  const replies = new WeakMap<Duplex, ServerResponse>();
  server.on('request', ({ socket }, response) => {
    replies.set(socket, response);
    response.on('close', () => replies.delete(socket));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const isCut =
      !socket.writable || error.code === 'ECONNRESET' || replies.get(socket)?.headersSent;
    if (isCut) socket.destroy();
    else refuse(socket, STATUS_OF[error.code ?? ''] ?? 400);
  });
  server.on('connect', (_request, socket) => refuse(socket, 405));
  server.on('checkExpectation', (_request, response) => {
    response.writeHead(417, { connection: 'close' }).end();
  });
  return server;
}

/** A request whose address or host are none: the adapter's own words stay with us. */
function unreadable(): Response {
  const detail = 'The address or the Host header of the request cannot be read.';
  const problem = new ApiError('invalid-request', detail).toProblem();
  return Response.json(problem, {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json', connection: 'close' },
  });
}

/** A reply where there is no request that it could belong to. */
function refuse(socket: Duplex, status: number): void {
  const problem = { type: 'about:blank', title: STATUS_CODES[status], status };
  const body = JSON.stringify(problem);
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${body.length}`,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}
