/** The network asked as workerd asks it, and hosts that send what they like; all of it until the end of a test. */
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { type Behavior, startImageHost } from '../../../test/support/image-host.ts';
import { serviceOf, startHostNetwork } from '../host-network.ts';
import type { ResolveOptions } from '../resolve.ts';

export const FAILURE = 'blip2-host-failure';
/** Of one read of a socket. */
export const READ_BYTES = 65_536;
export const NAME = 'images.example';

type Asked = { method?: string; headers?: Record<string, string>; body?: string; secret?: string };

/** A network until the end of the test, and how to ask it for a URL. */
export async function startNetwork(options: Partial<ResolveOptions> = {}) {
  const network = await startHostNetwork({ allowPrivate: true, ...options });
  onTestFinished(network.stop);
  const { address, http } = serviceOf(network).external;
  const [{ name, value }] = http.injectRequestHeaders as [{ name: string; value: string }];
  return async (url: string, asked: Asked = {}): Promise<IncomingMessage> => {
    const { method = 'GET', headers, body, secret = value } = asked;
    const [host, port] = address.split(':');
    const request = httpRequest({
      ...{ host, port, method, path: url, agent: false },
      headers: { ...headers, [name]: secret },
    });
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.on('error', () => {});
    return response;
  };
}

export async function startHost(
  paths: Record<string, Behavior>,
  secure?: { key: string; cert: string },
) {
  const host = await startImageHost(paths, secure);
  onTestFinished(host.stop);
  return host;
}

/** The sockets by which this process has connected to a port since. */
export function socketsTo(port: number): Socket[] {
  const sockets: Socket[] = [];
  const note = (message: unknown) => {
    const { socket } = message as { socket: Socket };
    socket.once('connect', () => {
      if (socket.remotePort === port) sockets.push(socket);
    });
  };
  diagnostics.subscribe('net.client.socket', note);
  onTestFinished(() => void diagnostics.unsubscribe('net.client.socket', note));
  return sockets;
}

/** Sends without end what is as long as a piece of a connection; `ended` when the other side ends it. */
export function endless(head: string, more: string) {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const behavior: Behavior = (socket) => {
    const piece = more.repeat(Math.ceil(READ_BYTES / more.length));
    const send = () => {
      while (socket.writable && socket.write(piece));
    };
    socket.once('close', () => resolve());
    socket.write(head);
    socket.on('drain', send);
    send();
  };
  return { behavior, ended };
}
