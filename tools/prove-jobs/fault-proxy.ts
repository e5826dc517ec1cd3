/** A proxy of HTTP that does wrong on purpose to some of what passes: it fails a request, loses its reply, or sends it twice. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** `failed`: refused with 503 before it gets there; `lost`: it gets there, and its reply does not come back. */
export type Fault = 'failed' | 'lost' | 'twice';

export type FaultProxyOptions = {
  /** What is done to a request; null lets it pass. */
  faultOf: (request: { method: string; path: string }) => Fault | null;
  /** Gets what a request that was let through or sent twice said, and what came back. */
  onReply?: (path: string, request: string, reply: string) => void;
};

/** @example await using proxy = await FaultProxy.start('http://127.0.0.1:8787', { faultOf: () => 'lost' }); */
export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: string;
  readonly #options: FaultProxyOptions;

  private constructor(target: string, options: FaultProxyOptions) {
    this.#target = target;
    this.#options = options;
    this.#server = createServer((request, response) => {
      // Whoever is behind it may be gone: then so is the connection.
      this.#pass(request, response).catch(() => response.destroy());
    });
  }

  /** @param target base URL of what requests are passed on to */
  static async start(target: string, options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '/' } = request;
    const body = new Uint8Array(Buffer.concat(await Array.fromAsync(request)));
    const fault = this.#options.faultOf({ method, path });
    if (fault === 'failed') {
      response.writeHead(503).end();
      return;
    }
    const headers = Object.entries(request.headers).filter(([name]) => !OF_CONNECTION.has(name));
    const send = async () => {
      const init = { method, headers: headers as [string, string][], redirect: 'manual' as const };
      const reply = await fetch(this.#target + path, {
        ...init,
        ...(body.length > 0 && { body }),
      });
      return { reply, bytes: new Uint8Array(await reply.arrayBuffer()) };
    };
    if (fault === 'twice') await send();
    const { reply, bytes } = await send();
    if (fault === 'lost') {
      response.destroy();
      return;
    }
    const text = (part: Uint8Array) => Buffer.from(part).toString('utf8');
    this.#options.onReply?.(path, text(body), text(bytes));
    const type = reply.headers.get('content-type');
    response.writeHead(reply.status, type === null ? {} : { 'content-type': type }).end(bytes);
  }
}

/** Headers of one connection, which the other has for itself. */
const OF_CONNECTION = new Set(['host', 'connection', 'content-length', 'transfer-encoding']);
