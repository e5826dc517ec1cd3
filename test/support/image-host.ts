/** A host of images that misbehaves as real ones do: what it sends for a path is written out byte by byte. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** What the host does with a connection once it has read a request. */
export type Behavior = (socket: Socket, request: string) => void;

export type ImageHost = {
  port: number;
  /** Heads of the requests that came. */
  requests: string[];
  stop: () => Promise<void>;
};

/** A reply with these headers and bytes, and the end of the connection. */
export function reply(status: number, headers: readonly string[], body: Uint8Array | string = '') {
  return (socket: Socket) => {
    const lines = [`HTTP/1.1 ${status} X`, 'Connection: close', ...headers];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    socket.end(body);
  };
}

/** A reply of bytes with a media type, or none. */
export function file(type: string | undefined, body: Uint8Array | string) {
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
  const headers = type === undefined ? [] : [`Content-Type: ${type}`];
  return reply(200, [...headers, `Content-Length: ${length}`], body);
}

/**
 * @param paths what happens to a request for each path; any other path is a 404
 * @param secure key and certificate, for https
 */
export async function startImageHost(
  paths: Record<string, Behavior>,
  secure?: { key: string; cert: string },
): Promise<ImageHost> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const serve = (socket: Socket) => {
    sockets.add(socket);
    // Whoever hangs up early is what is tested.
    socket.on('error', () => {});
    let head = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      head += chunk;
      if (!head.includes('\r\n\r\n')) return;
      requests.push(head);
      const path = head.split(' ', 2)[1] ?? '';
      (paths[path] ?? reply(404, ['Content-Length: 0']))(socket, head);
      head = '';
    });
  };
  const server: Server =
    secure === undefined ? createServer(serve) : createTlsServer(secure, serve);
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.on('tlsClientError', () => {});
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
