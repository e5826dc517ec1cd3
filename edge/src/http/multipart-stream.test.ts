import { ApiError } from '@blip2/shared/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMultipart } from './multipart.ts';
import { streamParts } from './multipart-stream.ts';

const text = new TextEncoder();

/** The bytes in pieces of a size. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function partsOf(bytes: Uint8Array, size: number, boundary = 'x') {
  const parts: unknown[] = [];
  for await (const { body, ...head } of streamParts(pieces(bytes, size), boundary)) {
    const chunks = await Array.fromAsync(body);
    parts.push({ ...head, bytes: new Uint8Array(await new Blob(chunks as never[]).arrayBuffer()) });
  }
  return parts;
}

const disposition = (name: string, rest = '') =>
  `content-disposition: form-data; name="${name}"${rest}`;

describe('streamParts reads, in whatever pieces it comes, what is read whole', () => {
  it.each([
    [
      'two parts',
      `--x\r\n${disposition('a')}\r\n\r\n1\r\n--x\r\n${disposition('b')}\r\n\r\n22\r\n--x--`,
    ],
    ['line feeds alone', `--x\n${disposition('a')}\n\n1\n--x--\n`],
    ['a preamble, and padding', `hello\r\n--x  \r\n${disposition('a')}\r\n\r\n1\r\n--x--\r\nbye`],
    ['empty content', `--x\r\n${disposition('a')}\r\n\r\n\r\n--x--`],
    [
      'what begins as the boundary',
      `--x\r\n${disposition('a')}\r\n\r\n\r\n--xy\r\n-\r\n--\r\n\r\n--x--`,
    ],
    ['line breaks at the end', `--x\r\n${disposition('a')}\r\n\r\n\r\r\n\n\r\n\r\n--x--`],
    [
      'a file',
      `--x\r\n${disposition('f', '; filename="a.jsonl"')}\r\ncontent-type: text/plain\r\n\r\n{}\n{}\n\r\n--x--`,
    ],
  ])('%s', async (_, body) => {
    const bytes = new Uint8Array(text.encode(body));
    const whole = parseMultipart(bytes, 'x').map((part) => ({
      ...part,
      bytes: part.bytes.slice(),
    }));
    for (const size of [1, 2, 3, 7, 64, bytes.length]) {
      expect(await partsOf(bytes, size)).toEqual(whole);
    }
  });

  it('any content', async () => {
    const piece = fc.constantFrom('\r', '\n', '-', '--', 'x', '\r\n--', '\n--x', 'a');
    const content = fc.array(piece, { maxLength: 30 }).map((list) => list.join(''));
    await fc.assert(
      fc.asyncProperty(content, content, fc.integer({ min: 1, max: 9 }), async (a, b, size) => {
        const body = `--xyz\r\n${disposition('a')}\r\n\r\n${a}\r\n--xyz\r\n${disposition('b')}\r\n\r\n${b}\r\n--xyz--`;
        expect(await partsOf(text.encode(body), size, 'xyz')).toEqual([
          { name: 'a', type: '', bytes: text.encode(a) },
          { name: 'b', type: '', bytes: text.encode(b) },
        ]);
      }),
    );
  });
});

it.each([
  ['no boundary', 'hello'],
  ['a part that is cut off', `--x\r\n${disposition('a')}\r\n\r\n1`],
  ['a part without a name', '--x\r\ncontent-type: text/plain\r\n\r\n1\r\n--x--'],
  ['headers that do not end', `--x\r\n${disposition('a')}\r\nx: ${'y'.repeat(20_000)}`],
  [
    'a part in base64',
    `--x\r\n${disposition('a')}\r\ncontent-transfer-encoding: base64\r\n\r\nAA==\r\n--x--`,
  ],
  ['too many parts', `${`--x\r\n${disposition('a')}\r\n\r\n1\r\n`.repeat(5000)}--x--`],
])('refuses %s', async (_, body) => {
  const reading = partsOf(text.encode(body), 512);
  await expect(reading).rejects.toThrow(ApiError);
  await expect(reading).rejects.toMatchObject({ slug: 'invalid-multipart' });
});

it('skips what nobody reads', async () => {
  const body = `--x\r\n${disposition('a')}\r\n\r\n${'1'.repeat(5000)}\r\n--x\r\n${disposition('b')}\r\n\r\n2\r\n--x--`;
  const names: string[] = [];
  for await (const { name } of streamParts(pieces(text.encode(body), 100), 'x')) names.push(name);
  expect(names).toEqual(['a', 'b']);
});
