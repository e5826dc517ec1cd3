/** What is no request gets a reply that says so, and no more; what never ends does not stay. */
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHttpServer } from './server.ts';
import { TestWorker } from './testing/test-worker.ts';

const encoder = new TextEncoder();
let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start({ maxSlots: 1 });
});
afterAll(() => test?.worker.stop());

/** Everything that comes back for these bytes, until the server closes the connection. */
async function exchange(text: string): Promise<string> {
  const { hostname, port } = new URL(test.worker.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  let reply = '';
  socket.setEncoding('latin1').on('data', (data: string) => {
    reply += data;
  });
  socket.write(text, 'latin1');
  await once(socket, 'close');
  return reply;
}

const request = (line: string, ...headers: string[]) =>
  [line, 'Connection: close', ...headers, '', ''].join('\r\n');

describe('bytes', () => {
  it.each<[string, string, number]>([
    ['that are no HTTP', '\0\x01\x02\r\n\r\n', 400],
    [
      'with a header that is too long',
      request('GET / HTTP/1.1', 'Host: x', `X: ${'a'.repeat(4e4)}`),
      431,
    ],
    [
      'with two lengths',
      request(
        'POST /v1/run HTTP/1.1',
        'Host: x',
        'Content-Length: 3',
        'Transfer-Encoding: chunked',
      ),
      400,
    ],
    [
      'with a chunk that is none',
      `${request('POST /v1/run HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked')}zz\r\n`,
      400,
    ],
    ['that ask for a tunnel', request('CONNECT a:1 HTTP/1.1', 'Host: x'), 405],
    ['that are traced', request('TRACE / HTTP/1.1', 'Host: x'), 404],
    ['with an address of another scheme', request('GET ftp://x/healthz HTTP/1.1', 'Host: x'), 400],
    ['with a star for an address', request('OPTIONS * HTTP/1.1', 'Host: x'), 400],
    ['with a backslash in the address', request('GET /a\\b HTTP/1.1', 'Host: x'), 400],
    ['with a host that is none', request('GET /healthz HTTP/1.1', 'Host: a b/c'), 400],
    ['without a host', request('GET /healthz HTTP/1.1'), 400],
    ['with percent signs that mean nothing', request('GET /%ff%zz HTTP/1.1', 'Host: x'), 404],
    [
      'that expect something unknown',
      request('POST /v1/run HTTP/1.1', 'Host: x', 'Expect: x'),
      417,
    ],
    [
      'that read with a body',
      `${request('GET /v1/run HTTP/1.1', 'Host: x', 'Content-Length: 3')}abc`,
      405,
    ],
    ['that would upgrade', request('GET /healthz HTTP/1.1', 'Host: x', 'Upgrade: websocket'), 200],
    ['with an absolute address', request('GET http://other/healthz HTTP/1.1', 'Host: x'), 200],
  ])('%s get a status and no word of ours', async (_, text, status) => {
    const reply = await exchange(text);
    expect(reply).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(reply).not.toMatch(/\bat \S+:\d+|node:|\.ts|\.mjs|HPE_|TypeError/);
  });

  it('that come one request behind the other are answered in their order', async () => {
    const reply = await exchange(
      `GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n${request('GET /nowhere HTTP/1.1', 'Host: x')}`,
    );
    expect(reply.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 404']);
  });

  it('of headers that never end do not keep the connection', async () => {
    expect(await exchange('GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ')).toMatch(
      /^HTTP\/1.1 408 /,
    );
  }, 30_000);
});

it('what is no request behind one that is being answered ends the connection, without a word in the reply', async () => {
  const server = createHttpServer(
    () => new Response(new ReadableStream({ start: (body) => body.enqueue(encoder.encode('a')) })),
    60_000,
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  let reply = '';
  socket.setEncoding('latin1').on('data', (data: string) => {
    if (reply === '') socket.write('\0\r\n\r\n');
    reply += data;
  });
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(socket, 'close');
  server.close();
  expect(reply.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 200']);
});

it('bodies and headers of which hundreds send half keep nobody else from an answer', async () => {
  const { hostname, port } = new URL(test.worker.url);
  const halves = [
    'POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nhalf',
    'POST /v1/run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nhalf',
    'POST /v1/run HTTP/1.1\r\nHost: x\r\nX-Half: ',
  ];
  const sockets = Array.from({ length: 400 }, (_, i) => {
    const socket = connect(Number(port), hostname).on('error', () => {});
    socket.resume().write(halves[i % halves.length] as string);
    return socket;
  });
  await Promise.all(sockets.map(async (socket) => socket.connecting && once(socket, 'connect')));
  const { tokens } = await test.ask(test.generate(), test.image(0));
  expect(tokens.length).toBeGreaterThan(0);
  for (const socket of sockets) socket.destroy();
});
