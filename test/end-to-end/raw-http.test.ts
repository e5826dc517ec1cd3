/**
 * What no HTTP library would send, over bare sockets to the workerd of the local stack: answered or cut off, and never
 * with a stack, a path or an error of this service. `workerd` marks what its own HTTP code answers, before the Worker.
 */
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ vars: { REQUEST_DEADLINE_MS: '1000' }, logLevel: 'none' });
});
afterAll(() => stack?.stop());

const HASH = 'a'.repeat(64);
const post = (...lines: string[]) =>
  ['POST /v1/captions HTTP/1.1', 'Host: x', ...lines].join('\r\n');
const get = (target: string, ...lines: string[]) =>
  [`GET ${target} HTTP/1.1`, 'Host: x', ...lines, '', ''].join('\r\n');
const method = (name: string, target = '/healthz') =>
  `${name} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;
const image = 'Content-Type: image/png';
const chunked = 'Transfer-Encoding: chunked';

/** Status, and the problem where it is one of ours. */
type Expected = [status: number | 'cut off', who: 'workerd' | string];

it.each<[string, string, Expected]>([
  [
    'a chunk without a size',
    post(chunked, image, '', 'ZZZ\r\nabc\r\n0\r\n\r\n'),
    [400, 'invalid-request'],
  ],
  [
    'a chunk of too many bytes',
    post(chunked, '', 'FFFFFFFFFFFFFFFFFF\r\nabc'),
    [400, 'invalid-request'],
  ],
  // Where there are chunks, the length does not count (RFC 9112, 6.3).
  [
    'length and chunks',
    post(chunked, 'Content-Length: 4', image, '', '4\r\nabcd\r\n0\r\n\r\n'),
    [400, 'invalid-image'],
  ],
  [
    'two hosts for what is sent',
    'POST /v1/captions HTTP/1.1\r\nHost: a\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
    [400, 'invalid-request'],
  ],
  [
    'two hosts for what is asked',
    'GET /v1/jobs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    [400, 'invalid-request'],
  ],
  ['two lengths', post('Content-Length: 4', 'Content-Length: 5', '', 'abcde'), [400, 'workerd']],
  ['a length below zero', post('Content-Length: -4', '', 'abcde'), [400, 'workerd']],
  [
    'a length beyond all numbers',
    post(`Content-Length: ${'9'.repeat(30)}`, '', 'a'),
    [400, 'workerd'],
  ],
  [
    'an upload that stalls',
    post('Content-Length: 1000', image, '', 'abcd'),
    [504, 'deadline-exceeded'],
  ],
  [
    'an upload in chunks that stalls',
    post(chunked, 'Content-Type: application/json', '', '4\r\n{"a"\r\n'),
    [504, 'deadline-exceeded'],
  ],
  [
    'an unknown expectation',
    post('Expect: magic', 'Content-Length: 4', image, '', 'abcd'),
    [400, 'invalid-image'],
  ],
  ['a method that is none', method('F@O'), [400, 'workerd']],
  ['a method nobody knows', method('BREW'), [501, 'workerd']],
  ['a method in lower case', method('get'), [501, 'workerd']],
  ['a method of WebDAV', method('PROPFIND'), [405, 'method-not-allowed']],
  ['TRACE', method('TRACE'), [405, 'method-not-allowed']],
  ['CONNECT', method('CONNECT', 'example.com:443'), [500, 'workerd']],
  ['OPTIONS of everything', method('OPTIONS', '*'), [404, 'not-found']],
  ['OPTIONS of nothing', method('OPTIONS', '/nothing'), [404, 'not-found']],
  ['HTTP/0.9', 'GET /\r\n\r\n', [400, 'workerd']],
  ['HTTP/1.0 without Host', 'GET /healthz HTTP/1.0\r\n\r\n', [400, 'workerd']],
  ['the beginning of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', ['cut off', 'workerd']],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', [400, 'workerd']],
  ['an absolute URL', get('http://evil.example/nothing'), [404, 'not-found']],
  ['an absolute URL of another scheme', get('ftp://evil.example/nothing'), [404, 'not-found']],
  ['two slashes', get('//evil.example/healthz'), [404, 'not-found']],
  ['the way up', get('/../../etc/passwd'), [404, 'not-found']],
  ['a NUL', get('/heal\0thz'), [400, 'workerd']],
  ['an encoded NUL', get('/v1/embeddings/%00'), [400, 'invalid-request']],
  ['what is no UTF-8', get('/v1/embeddings/%ff%fe'), [400, 'invalid-request']],
  ['what is no escape', get('/v1/embeddings/%zz%q'), [400, 'invalid-request']],
  ['a problem that is none', get('/problems/%ff%fe'), [404, 'not-found']],
  ['a prototype', get('/problems/__proto__'), [404, 'not-found']],
  ['a long path', get(`/v1/embeddings/${'a'.repeat(100_000)}`), [414, 'workerd']],
  ['a path of medium length', get(`/problems/${'a'.repeat(60_000)}`), [404, 'not-found']],
  [
    'a long value in the query',
    get(`/v1/embeddings/${HASH}?kind=${'b'.repeat(30_000)}`),
    [400, 'invalid-request'],
  ],
  [
    'a long name in the query',
    get(`/v1/embeddings/${HASH}?${'b'.repeat(30_000)}=1`),
    [400, 'invalid-request'],
  ],
  [
    'many names in the query',
    get(`/v1/embeddings/${HASH}?${'b=1&'.repeat(8000)}`),
    [400, 'invalid-request'],
  ],
  ['a header with a space in its name', get('/healthz', 'Foo : bar'), [400, 'workerd']],
  ['a header over two lines', get('/healthz', 'Foo: bar', ' baz'), [400, 'workerd']],
  ['a header with a NUL', get('/healthz', 'Foo: b\0ar'), [400, 'workerd']],
  [
    'a header that is no text',
    get('/nothing', 'x-request-id: b\xffar', 'Accept: \xff\xfe'),
    [404, 'not-found'],
  ],
  ['a header of many bytes', get('/nothing', `X-A: ${'a'.repeat(100_000)}`), [404, 'not-found']],
  [
    'a header of too many bytes',
    get('/nothing', `X-A: ${'a'.repeat(1_000_000)}`),
    [431, 'workerd'],
  ],
  [
    'an Accept of many types',
    get(`/v1/embeddings/${HASH}`, `Accept: ${'a/b,'.repeat(20_000)}`),
    [406, 'not-acceptable'],
  ],
  ['two hosts', get('/nothing', 'Host: y'), [400, 'invalid-request']],
  ['a host that is none', 'GET /nothing HTTP/1.1\r\nHost: [::1\r\n\r\n', [400, 'invalid-request']],
  ['an upgrade', get('/nothing', 'Upgrade: websocket', 'Connection: Upgrade'), [404, 'not-found']],
])('%s', async (_what, text, [status, who]) => {
  const reply = await exchange(text);
  const said = /^HTTP\/1\.[01] (\d{3})/.exec(reply)?.[1];
  expect(said === undefined ? 'cut off' : Number(said)).toBe(status);
  expect(/"type":"\/problems\/([a-z0-9-]+)"/.exec(reply)?.[1] ?? 'workerd').toBe(who);
  expect(reply).not.toMatch(/\bat \w|\.ts\b|\.js\b|node_modules|\/work|Error:.*\n/);
  expect(reply.length).toBeLessThan(2500);
});

it('hundreds of uploads that stall keep nobody else from an answer, and end', async () => {
  const half = [
    post('Content-Length: 100000', image, '', 'half'),
    post(chunked, 'Content-Type: application/json', '', '4\r\n{"a"\r\n'),
  ];
  const stalled = Array.from({ length: 400 }, (_, i) => exchange(half[i % 2] as string));
  const other = await exchange(post('Content-Length: 4', image, '', 'abcd'));
  expect(other).toMatch(/^HTTP\/1\.1 400 /);
  const ends = (await Promise.all(stalled)).map((reply) => reply.slice(9, 12));
  expect(new Set(ends)).toEqual(new Set(['504']));
});

it('nothing of it has hurt the service', async () => {
  expect((await fetch(`${stack.url}/healthz`)).status).toBe(200);
});

/** All that comes back until the peer has nothing more to say. */
async function exchange(text: string): Promise<string> {
  const { hostname, port } = new URL(stack.url);
  const socket = connect(Number(port), hostname);
  const { promise, resolve } = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  // A reply of workerd's comes in one piece, or ends the connection.
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    if (isWhole(Buffer.concat(chunks).toString('latin1'))) resolve();
  });
  for (const event of ['end', 'close', 'error']) socket.on(event, () => resolve());
  socket.write(Buffer.from(text, 'latin1'));
  await promise;
  socket.destroy();
  return Buffer.concat(chunks).toString('latin1');
}

function isWhole(reply: string): boolean {
  const [head = '', body] = reply.split(/\r\n\r\n(.*)/s);
  if (body === undefined || / 100 /.test(head)) return false;
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  return length === undefined ? reply.endsWith('0\r\n\r\n') : body.length >= Number(length);
}
