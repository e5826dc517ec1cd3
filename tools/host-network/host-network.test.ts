/** The network by which the Worker reaches hosts, asked as workerd asks it, with hosts that send what they like. */
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Behavior, file, reply, startImageHost } from '../../test/support/image-host.ts';
import { selfSigned } from '../../test/support/self-signed.ts';
import { startHostNetwork } from './host-network.ts';
import { MAX_HEADER_BYTES, MAX_INFORMATION } from './reach-host.ts';
import type { ResolveOptions } from './resolve.ts';

const FAILURE = 'blip2-host-failure';
/** Of one read of a socket. */
const READ_BYTES = 65_536;
const NAME = 'images.example';

const SWITCH = 'HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n';

type Asked = { method?: string; headers?: Record<string, string>; body?: string; secret?: string };

/** A network until the end of the test, and how to ask it for a URL. */
async function startNetwork(options: Partial<ResolveOptions> = {}) {
  const { service, stop } = await startHostNetwork({ allowPrivate: true, ...options });
  onTestFinished(stop);
  const { address, http } = service.external;
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

async function startHost(paths: Record<string, Behavior>, secure?: { key: string; cert: string }) {
  const host = await startImageHost(paths, secure);
  onTestFinished(host.stop);
  return host;
}

/** The sockets by which this process has connected to a port since. */
function socketsTo(port: number): Socket[] {
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
function endless(head: string, more: string) {
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

describe('a host that is reached', () => {
  it('gets the request as it is, and its reply is handed on with the headers that are read', async () => {
    const gzipped = gzipSync('an image');
    const host = await startHost({
      '/a?b=c': reply(
        201,
        [
          'Content-Type: image/png',
          'Content-Type: text/html',
          'Content-Encoding: gzip',
          `Content-Length: ${gzipped.length}`,
          'Cache-Control: no-store',
          'Set-Cookie: a=b',
          `${FAILURE}: insecure`,
        ],
        gzipped,
      ),
    });
    const ask = await startNetwork();
    const headers = { 'user-agent': 'edge/1', 'webhook-id': 'evt_1', 'content-length': '2' };
    const url = `http://127.0.0.1:${host.port}/a?b=c`;
    const response = await ask(url, { method: 'POST', headers, body: '{}' });
    const { date: _, connection: __, ...rest } = response.headers;
    expect([response.statusCode, rest]).toEqual([
      201,
      {
        'content-type': 'image/png',
        'content-encoding': 'gzip',
        'content-length': String(gzipped.length),
      },
    ]);
    expect(Buffer.concat(await response.toArray())).toEqual(gzipped);
    const [head, body] = host.requests[0]?.split('\r\n\r\n') ?? [];
    const [line, ...fields] = head?.split('\r\n') ?? [];
    expect(line).toBe('POST /a?b=c HTTP/1.1');
    expect(fields.map((field) => field.toLowerCase()).sort()).toEqual([
      'connection: close',
      'content-length: 2',
      `host: 127.0.0.1:${host.port}`,
      'user-agent: edge/1',
      'webhook-id: evt_1',
    ]);
    expect(body).toBe('{}');
  });

  it('is left where it redirects', async () => {
    const host = await startHost({ '/a': reply(302, ['Location: /b', 'Content-Length: 0']) });
    const ask = await startNetwork();
    const { statusCode, headers } = await ask(`http://127.0.0.1:${host.port}/a`);
    expect([statusCode, headers.location]).toEqual([302, '/b']);
    expect(host.requests).toHaveLength(1);
  });

  it('has its reply after a few of those before it', async () => {
    const hints = 'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n'.repeat(MAX_INFORMATION);
    const host = await startHost({
      '/a': (socket) => socket.end(`${hints}HTTP/1.1 200 OK\r\n\r\nan image`),
    });
    const ask = await startNetwork();
    expect(await text(await ask(`http://127.0.0.1:${host.port}/a`))).toBe('an image');
  });

  it('sends small chunks, of which few pieces are made', async () => {
    const chunks = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'.concat(
      '1\r\na\r\n'.repeat(5000),
      '0\r\n\r\n',
    );
    const host = await startHost({ '/a': (socket) => socket.end(chunks) });
    const ask = await startNetwork();
    const response = await ask(`http://127.0.0.1:${host.port}/a`);
    expect(await text(response)).toBe('a'.repeat(5000));
    expect(response.socket.bytesRead).toBeLessThan(6000);
  });

  it('sees its connection end where nobody reads any further', async () => {
    const { behavior, ended } = endless('HTTP/1.1 200 OK\r\n\r\n', 'an image');
    const host = await startHost({ '/a': behavior });
    const ask = await startNetwork();
    const response = await ask(`http://127.0.0.1:${host.port}/a`);
    await once(response, 'readable');
    response.destroy();
    await ended;
  });

  it('breaks off, and so does its reply', async () => {
    const host = await startHost({ '/a': reply(200, ['Content-Length: 9'], 'half') });
    const ask = await startNetwork();
    const response = await ask(`http://127.0.0.1:${host.port}/a`);
    expect(response.headers['content-length']).toBe('9');
    await expect(text(response)).rejects.toThrow('aborted');
  });
});

describe('a host without a valid reply is a failure that says which', () => {
  const failureAt = async (ask: Awaited<ReturnType<typeof startNetwork>>, url: string) => {
    const { statusCode, headers } = await ask(url);
    expect(statusCode).toBe(502);
    return headers[FAILURE];
  };

  it.each(['cache-control: aaaaaa', 'x-a: a', 'location: /b'])(
    '14,000 lines of %s, of which no more is read than headers may have',
    async (line) => {
      const head = `HTTP/1.1 200 OK\r\n${`${line}\r\n`.repeat(14_000)}\r\n`;
      const host = await startHost({ '/a': (socket) => socket.write(head) });
      const ask = await startNetwork();
      const sockets = socketsTo(host.port);
      expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
      expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true]);
      expect(sockets[0]?.bytesRead).toBeLessThanOrEqual(MAX_HEADER_BYTES + READ_BYTES);
    },
  );

  it.each([100, 102, 103])('informational replies (%i) without end', async (status) => {
    const { behavior, ended } = endless('', `HTTP/1.1 ${status} Wait\r\n\r\n`);
    const host = await startHost({ '/a': behavior });
    const ask = await startNetwork();
    const sockets = socketsTo(host.port);
    expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
    await ended;
    expect(sockets[0]?.bytesRead).toBeLessThanOrEqual(2 * READ_BYTES);
  });

  it.each<[string, Behavior]>([
    ['none', (socket) => socket.end()],
    ['another protocol', (socket) => socket.end('220 ready\r\n\r\n')],
    ['a switch of protocols', (socket) => socket.write(SWITCH)],
    ['a switch without saying to which', reply(101, [])],
    ['a status that is none', reply(7, [])],
    ['two lengths', reply(200, ['Content-Length: 1', 'Content-Length: 2'], 'a')],
  ])('%s', async (_, behavior) => {
    const host = await startHost({ '/a': behavior });
    const ask = await startNetwork();
    expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
  });

  it('a port where nobody listens', async () => {
    const host = await startHost({});
    await host.stop();
    const ask = await startNetwork();
    expect(await failureAt(ask, `http://127.0.0.1:${host.port}/a`)).toBe('lost');
    expect(await failureAt(ask, `https://127.0.0.1:${host.port}/a`)).toBe('lost');
  });

  it('a certificate that nobody trusts, and no TLS at all', async () => {
    const secure = await startHost({ '/a': file('image/png', 'an image') }, await selfSigned());
    const plain = createServer((socket) => socket.end('HTTP/1.1 400 X\r\n\r\n')).listen(0);
    onTestFinished(() => void plain.close());
    await once(plain, 'listening');
    const { port } = plain.address() as AddressInfo;
    const ask = await startNetwork();
    expect(await failureAt(ask, `https://localhost:${secure.port}/a`)).toBe('insecure');
    expect(await failureAt(ask, `https://localhost:${port}/a`)).toBe('insecure');
    expect(secure.requests).toEqual([]);
  });

  it('a literal address that is not public', async () => {
    const host = await startHost({});
    const ask = await startNetwork({ allowPrivate: false });
    const sockets = socketsTo(host.port);
    for (const address of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '10.0.0.1', '0x7f000001']) {
      expect(await failureAt(ask, `http://${address}:${host.port}/a`)).toBe('no-address');
    }
    expect(sockets).toEqual([]);
  });

  it('a name that resolves to private addresses', async () => {
    const host = await startHost({});
    const lookUp = async () => ['127.0.0.1', '::1', 'fe80::1', '169.254.169.254'];
    const ask = await startNetwork({ allowPrivate: false, lookUp });
    const sockets = socketsTo(host.port);
    expect(await failureAt(ask, `http://${NAME}:${host.port}/a`)).toBe('no-address');
    expect(sockets).toEqual([]);
  });

  it('a name that does not resolve', async () => {
    const lookUp = () => Promise.reject(new Error('ENOTFOUND'));
    for (const allowPrivate of [true, false]) {
      const ask = await startNetwork({ allowPrivate, lookUp });
      expect(await failureAt(ask, `https://${NAME}/a`)).toBe('no-address');
    }
  });
});

it('a name is looked up once, and its host reached at one of these addresses', async () => {
  const host = await startHost({ '/a': file('image/png', 'an image') });
  const names: string[] = [];
  const lookUp = async (name: string) => {
    names.push(name);
    return names.length === 1 ? ['127.0.0.2', '127.0.0.1'] : ['192.0.2.1'];
  };
  const ask = await startNetwork({ lookUp });
  expect(await text(await ask(`http://${NAME}:${host.port}/a`))).toBe('an image');
  expect(names).toEqual([NAME]);
});

it('a look-up ends where nobody waits for it any more', async () => {
  const { promise: begun, resolve } = Promise.withResolvers<AbortSignal>();
  const lookUp = (_: string, signal: AbortSignal) => {
    resolve(signal);
    return new Promise<never>((_, reject) => signal.addEventListener('abort', reject));
  };
  const { service, stop } = await startHostNetwork({ allowPrivate: false, lookUp });
  onTestFinished(stop);
  const { address, http } = service.external;
  const [{ name, value }] = http.injectRequestHeaders as [{ name: string; value: string }];
  const [host, port] = address.split(':');
  const options = { host, port, path: `http://${NAME}/`, agent: false } as const;
  const request = httpRequest({ ...options, headers: { [name]: value } });
  request.on('error', () => {}).end();
  const signal = await begun;
  request.destroy();
  await once(signal, 'abort');
});

it('other programs are refused', async () => {
  const host = await startHost({});
  const ask = await startNetwork();
  for (const secret of ['', 'a'.repeat(48)]) {
    const { statusCode } = await ask(`http://127.0.0.1:${host.port}/a`, { secret });
    expect(statusCode).toBe(403);
  }
  expect(host.requests).toEqual([]);
});
