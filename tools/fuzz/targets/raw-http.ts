/** HTTP as no client writes it, to the edge and to the GPU worker: bytes on a socket. */
import { once } from 'node:events';
import { connect } from 'node:net';
import * as fc from 'fast-check';
import { byteEdit, editBytes } from '../generate/byte-edits.ts';
import { expectNoLeak } from '../http/leaks.ts';
import { HANG_MS } from '../stack.ts';
import type { Target } from '../target.ts';
import { Violation } from '../violation.ts';

export type RawHttpInput = { to: 'edge' | 'worker'; bytes: Uint8Array };

const BODY = '{"image":{"sha256":"x"}}';
const request = (line: string, ...headers: string[]) =>
  [line, 'Host: a', ...headers, '', ''].join('\r\n');
const LENGTH = `Content-Length: ${BODY.length}`;
const JSON_TYPE = 'Content-Type: application/json';

/** Requests that are well-formed, and some that are nearly so. No CONNECT: workerd answers it itself, with a bare 500. */
const REQUESTS: readonly string[] = [
  request('GET /healthz HTTP/1.1'),
  request('GET / HTTP/1.0'),
  request('POST /v1/captions HTTP/1.1', JSON_TYPE, LENGTH) + BODY,
  request('POST /v1/run HTTP/1.1', LENGTH) + BODY,
  `${request('POST /v1/captions HTTP/1.1', JSON_TYPE, 'Transfer-Encoding: chunked')}18\r\n${BODY}\r\n0\r\n\r\n`,
  `${request('POST /v1/captions HTTP/1.1', JSON_TYPE, 'Transfer-Encoding: chunked')}ffffffffffffffff\r\n`,
  request('POST /v1/captions HTTP/1.1', JSON_TYPE, LENGTH, 'Transfer-Encoding: chunked') + BODY,
  request('POST /v1/captions HTTP/1.1', JSON_TYPE, 'Content-Length: -1') + BODY,
  request('POST /v1/captions HTTP/1.1', JSON_TYPE, 'Content-Length: 1', 'Content-Length: 2') + BODY,
  request('POST /v1/captions HTTP/1.1', JSON_TYPE, 'Content-Length: 99999999999999999999'),
  request('POST /v1/captions HTTP/1.1', 'Expect: 100-continue', LENGTH),
  request('GET /healthz HTTP/1.1', 'Upgrade: websocket', 'Connection: Upgrade'),
  request('GET /healthz HTTP/1.1', 'Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings'),
  request('TRACE / HTTP/1.1'),
  request('GET http://a/healthz HTTP/1.1'),
  request('GET http://[::1 HTTP/1.1'),
  request('OPTIONS * HTTP/1.1'),
  request('GET /%ff%zz HTTP/1.1'),
  request('GET //a/../.. HTTP/1.1'),
  request('GET /\\..\\x HTTP/1.1'),
  request('GET /healthz HTTP/1.1', 'Host: b', 'Host: '),
  request('GET /healthz HTTP/9.9'),
  request('GET /healthz HTTP/1.1', ...Array<string>(200).fill('X: y')),
  request('GET /healthz HTTP/1.1', `X: ${'y'.repeat(100_000)}`),
  `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'GET /healthz\r\n\r\n',
  '\r\n\r\n',
];

const inputs: fc.Arbitrary<RawHttpInput> = fc.record({
  to: fc.constantFrom('edge', 'worker'),
  bytes: fc
    .tuple(fc.constantFrom(...REQUESTS), fc.array(byteEdit(200), { maxLength: 3 }))
    .map(([text, edits]) => editBytes(Buffer.from(text, 'latin1'), edits)),
});

export const RAW_HTTP: Target<RawHttpInput> = {
  name: 'raw-http',
  about: 'HTTP as no client writes it, to the edge and to the GPU worker',
  share: 5,
  lanes: 4,
  open: async (shared) => {
    const { stack, watch } = await shared.stack();
    return {
      inputs,
      run: async ({ to, bytes }) => {
        const text = await answerTo(to === 'edge' ? stack.url : stack.workerUrl, bytes);
        if (text === '') return 'closed';
        const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1]);
        if (Number.isNaN(status)) throw new Violation(`a reply is not HTTP: ${text.slice(0, 200)}`);
        const [, ...body] = text.split('\r\n\r\n');
        if (status >= 400)
          expectNoLeak(body.join('\r\n\r\n'), Buffer.from(bytes).toString('latin1'));
        if (status >= 500 && status !== 501 && status !== 505) {
          throw new Violation(`${to} answers ${status} to HTTP that is odd: ${text.slice(0, 300)}`);
        }
        return String(status);
      },
      settle: await watch(),
      [Symbol.asyncDispose]: async () => {},
    };
  },
};

/** What comes back until the connection ends; who sends half a request ends it. */
async function answerTo(url: string, bytes: Uint8Array): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  socket.setTimeout(HANG_MS, () => socket.destroy(new Violation('a connection stays open')));
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part));
  try {
    await once(socket, 'connect');
    socket.end(bytes);
    await once(socket, 'end');
  } catch (error) {
    if (error instanceof Violation) throw error;
    // Closed with a reset: whatever came before counts.
  } finally {
    socket.destroy();
  }
  return Buffer.concat(parts).toString('latin1');
}
