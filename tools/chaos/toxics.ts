/** A TCP proxy that treats connections badly on purpose, by the names that Toxiproxy made known. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * What is done to connections. `latency` delays each piece, `bandwidth` lets so much through a second, `slow_close`
 * closes late, `limit_data` closes after so many bytes of the reply, `reset_peer` resets after them, `timeout` swallows
 * everything, so that neither side learns that the other is gone.
 */
export type Toxic =
  | { kind: 'latency'; ms: number }
  | { kind: 'bandwidth'; bytesPerSecond: number }
  | { kind: 'slow_close'; ms: number }
  | { kind: 'limit_data'; bytes: number }
  | { kind: 'reset_peer'; bytes: number }
  | { kind: 'timeout' };

/**
 * @example
 * await using proxy = await ToxicProxy.start('http://127.0.0.1:8788');
 * proxy.toxic = { kind: 'latency', ms: 300 };
 * await fetch(`${proxy.url}/healthz`); // takes 0.6 s and more
 */
export class ToxicProxy {
  /** For what passes from now on; on connections that are open too. */
  toxic: Toxic | null = null;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param target base URL of what connections are passed on to */
  static async start(target: string): Promise<ToxicProxy> {
    const { hostname: host, port } = new URL(target);
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new ToxicProxy(server);
    server.on('connection', (near) => {
      proxy.#join(near, connect({ host, port: Number(port), allowHalfOpen: true }));
    });
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #join(near: Socket, far: Socket): void {
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      this.#sockets.add(socket.setNoDelay());
      socket.on('error', () => {});
      // A side that breaks takes the other with it, except where nothing passes.
      socket.on('close', (hadError) => {
        this.#sockets.delete(socket);
        if (hadError && this.toxic?.kind !== 'timeout') end();
      });
    }
    near.pipe(this.#treat(() => {})).pipe(far);
    far.pipe(this.#treat((bytes) => this.#count(bytes, near, end))).pipe(near);
  }

  /** @param onBytes gets how many bytes have passed until now */
  #treat(onBytes: (bytes: number) => void): Transform {
    let passed = 0;
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.#wait(chunk.byteLength).then((passes) => {
          if (passes) passed += chunk.byteLength;
          done(null, passes ? chunk : undefined);
          onBytes(passed);
        }, done);
      },
      flush: (done) => {
        const { toxic } = this;
        // The end of a swallowed connection is swallowed too.
        if (toxic?.kind === 'timeout') return;
        if (toxic?.kind === 'slow_close') setTimeout(done, toxic.ms);
        else done();
      },
    });
  }

  /** @returns whether these bytes pass */
  async #wait(bytes: number): Promise<boolean> {
    const { toxic } = this;
    if (toxic?.kind === 'latency') await delay(toxic.ms);
    if (toxic?.kind === 'bandwidth') await delay((1000 * bytes) / toxic.bytesPerSecond);
    return toxic?.kind !== 'timeout';
  }

  #count(bytes: number, near: Socket, end: () => void): void {
    const { toxic } = this;
    if (toxic?.kind === 'limit_data' && bytes > toxic.bytes) end();
    if (toxic?.kind === 'reset_peer' && bytes > toxic.bytes) {
      near.resetAndDestroy();
      end();
    }
  }
}
