/** Timing of one exchange against a real server, whose events move a clock: what counts as first token, end and failure. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exchange } from './exchange.ts';

const SSE = { 'content-type': 'text/event-stream' };
const problem = (type: string, status: number) =>
  JSON.stringify({ type: `/problems/${type}`, title: 'No', status, detail: 'No.' });

const ROUTES: Record<string, (reply: ServerResponse) => void> = {
  '/json': (reply) => reply.end('{}'),
  '/done': (reply) =>
    reply
      .writeHead(200, SSE)
      .end(
        'event: image\ndata: {}\n\n: idle\n\nevent: token\ndata: {}\n\nevent: token\ndata: {}\n\nevent: done\ndata: {}\n\n',
      ),
  '/error': (reply) =>
    reply.writeHead(200, SSE).end(`event: error\ndata: ${problem('internal-error', 500)}\n\n`),
  '/ends': (reply) => reply.writeHead(200, SSE).end('event: token\ndata: {}\n\n'),
  '/cut': (reply) => {
    reply.writeHead(200, SSE).write('event: token\ndata: {}\n\n', () => reply.destroy());
  },
  '/busy': (reply) => reply.writeHead(503).end(problem('overloaded', 503)),
  '/text': (reply) => reply.writeHead(502).end('Bad Gateway'),
};

const server = createServer((request, reply) => ROUTES[request.url ?? '']?.(reply));
let url: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

/** Each look at the clock moves it by 10 ms. */
function steppingClock() {
  let ms = 0;
  return { now: () => (ms += 10) };
}

const get = (path: string, at = url) =>
  exchange(at, { method: 'GET', path, headers: {} }, steppingClock());

it('a reply in one piece has an end and no first token', async () => {
  expect(await get('/json')).toEqual({ firstTokenAt: null, endAt: 10, gaps: [], failure: null });
});

it('a stream has its first token at the first delta, and gaps between deltas', async () => {
  expect(await get('/done')).toEqual({ firstTokenAt: 10, endAt: 30, gaps: [10], failure: null });
});

it.each([
  ['/error', 'error event internal-error'],
  ['/ends', 'stream cut off'],
  ['/cut', expect.stringMatching(/UND_ERR_SOCKET|terminated/)],
  ['/busy', '503 overloaded'],
  ['/text', '502'],
])('%s is a failure: %s', async (path, failure) => {
  expect((await get(path)).failure).toEqual(failure);
});

it('a server that is not there is a failure', async () => {
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => gone.close(resolve));
  expect((await get('/', `http://127.0.0.1:${port}`)).failure).toBe('ECONNREFUSED');
});
