/** A pull through a proxy: which requests take it, and what is said when it refuses. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HubError, InterruptedError } from './errors.ts';
import { fetchThrough } from './proxy.ts';
import { HubFixture } from './testing/hub-fixture.ts';

/** Forwards requests in absolute form, opens tunnels, and remembers both. */
class ProxyServer implements AsyncDisposable {
  readonly requests: string[] = [];
  readonly credentials = new Set<string | undefined>();
  /** Refuses everything with this status. */
  refuses: number | undefined;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((incoming, reply) => {
      if (this.#isRefused(incoming)) {
        reply.writeHead(this.refuses as number).end();
        return;
      }
      const { method, headers } = incoming;
      request(incoming.url as string, { method, headers }, (answer) => {
        reply.writeHead(answer.statusCode as number, answer.headers);
        answer.pipe(reply);
      }).end();
    });
    this.#server.on('connect', (incoming, socket) => {
      if (this.#isRefused(incoming)) {
        socket.end(`HTTP/1.1 ${this.refuses} Refused\r\n\r\n`);
        return;
      }
      const [host = '', port] = (incoming.url as string).split(':');
      const target = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connected\r\n\r\n');
        target.pipe(socket).pipe(target);
      });
      for (const end of [target, socket]) end.on('error', () => target.destroy());
    });
  }

  static async start(): Promise<ProxyServer> {
    const proxy = new ProxyServer();
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #isRefused({ method, url, headers }: IncomingMessage): boolean {
    this.requests.push(`${method} ${url}`);
    this.credentials.add(headers['proxy-authorization']);
    return this.refuses !== undefined;
  }
}

let proxy: ProxyServer;
beforeEach(async () => {
  proxy = await ProxyServer.start();
});
afterEach(() => proxy[Symbol.asyncDispose]());

const none = { https: undefined, http: undefined, except: undefined };

describe('a pull', () => {
  it('sends every request through the proxy, to the hub and to its storage, with its password', async () => {
    const http = `http://name:secret@${proxy.host}`;
    await using fixture = await HubFixture.open({ proxy: { ...none, http } });
    await fixture.expectWhole(await fixture.pull());
    const { endpoint, requests } = fixture.hub;
    expect(proxy.requests).toHaveLength(requests.length);
    expect(proxy.requests).toContainEqual(expect.stringMatching(`GET ${endpoint}/api/models/`));
    expect(proxy.requests).toContainEqual(expect.stringMatching(/GET http.*\/bucket\/model-/));
    expect([...proxy.credentials]).toEqual([`Basic ${btoa('name:secret')}`]);
  });

  it.each(['127.0.0.1', 'other.example, 127.0.0.1', '*'])(
    'goes around the proxy to the hosts of NO_PROXY=%s',
    async (except) => {
      const http = `http://${proxy.host}`;
      await using fixture = await HubFixture.open({ proxy: { ...none, http, except } });
      await fixture.expectWhole(await fixture.pull());
      expect(proxy.requests).toEqual([]);
    },
  );

  it('says what the proxy wants that refuses it', async () => {
    proxy.refuses = 407;
    const http = `http://${proxy.host}`;
    await using fixture = await HubFixture.open({ proxy: { ...none, http } });
    await expect(fixture.pull()).rejects.toThrow(
      'The proxy of HTTP_PROXY answered 407. It wants a name and a password',
    );
    expect(fixture.hub.requests).toEqual([]);
  });

  it('says which host cannot be reached when the proxy is gone', async () => {
    const http = 'http://127.0.0.1:9';
    await using fixture = await HubFixture.open({ proxy: { ...none, http } });
    await expect(fixture.pull()).rejects.toThrow(/cannot be reached .*127\.0\.0\.1:9/);
  });
});

describe('an https address', () => {
  it.each([
    [403, HubError, 'It may let nobody through to hub.example; NO_PROXY=hub.example'],
    [407, HubError, 'HTTPS_PROXY=http://name:password@host:port'],
    [503, InterruptedError, 'The proxy of HTTPS_PROXY answered 503.'],
  ])(
    'is asked for through a tunnel, whose refusal by %i is explained',
    async (status, kind, text) => {
      proxy.refuses = status;
      const fetch = fetchThrough({ ...none, https: `http://${proxy.host}` });
      const error = await fetch(new URL('https://hub.example/api'), {}).catch((reason) => reason);
      expect(error).toBeInstanceOf(kind);
      expect(error).toMatchObject({ message: expect.stringContaining(text), status });
      expect(proxy.requests).toEqual(['CONNECT hub.example:443']);
    },
  );
});
