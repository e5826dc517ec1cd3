/** Stands between a client and a service, and does on command what a real network does by chance. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** Sees each request first. True where it has answered it; `cutAt` ends the connection after so many bytes of the reply. */
type Fault = (
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<boolean | { cutAt: number }> | boolean | { cutAt: number };

export type Forwarder = AsyncDisposable & {
  url: string;
  /** Method and path of each request, in order. */
  seen: { line: string; headers: IncomingMessage['headers'] }[];
  fault: Fault;
};

export async function startForwarder(service: string): Promise<Forwarder> {
  const server = createServer(async (request, response) => {
    forwarder.seen.push({ line: `${request.method} ${request.url}`, headers: request.headers });
    const answered = await forwarder.fault(request, response);
    if (answered === true) return;
    const { method = 'GET', headers } = request;
    const { host: _host, connection: _connection, ...others } = headers;
    const body = method === 'GET' ? null : await buffer(request);
    const reply = await fetch(`${service}${request.url}`, {
      method,
      headers: others as Record<string, string>,
      body,
    });
    response.writeHead(reply.status, Object.fromEntries(reply.headers));
    let left = answered === false ? Number.POSITIVE_INFINITY : answered.cutAt;
    for await (const chunk of reply.body ?? []) {
      response.write(chunk.subarray(0, Math.min(left, chunk.length)));
      left -= chunk.length;
      if (left > 0) continue;
      response.write('', () => response.destroy());
      return;
    }
    response.end();
  });
  const forwarder: Forwarder = {
    url: '',
    seen: [],
    fault: () => false,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  forwarder.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return forwarder;
}
