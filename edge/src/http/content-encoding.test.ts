import zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeContent, parseContentEncoding } from './content-encoding.ts';

const LIMIT = 10_000;

const ENCODERS: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  gzip: (bytes) => zlib.gzipSync(bytes),
  deflate: (bytes) => zlib.deflateSync(bytes),
  br: (bytes) => zlib.brotliCompressSync(bytes),
  zstd: (bytes) => zlib.zstdCompressSync(bytes),
};
const codings = Object.keys(ENCODERS);
const encode = (coding: string, bytes: Uint8Array) =>
  new Uint8Array(ENCODERS[coding]?.(bytes) ?? bytes);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array, ...names: string[]) =>
  decodeContent(new Uint8Array(bytes), names, LIMIT);

describe.each(codings)('%s', (coding) => {
  it('gives back every body', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        expect(decode(encode(coding, bytes), coding)).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 30 },
    );
  });

  it('is decoded up to the limit and not beyond', () => {
    expect(decode(encode(coding, new Uint8Array(LIMIT)), coding)).toHaveLength(LIMIT);
    const refused = () => decode(encode(coding, new Uint8Array(LIMIT + 1)), coding);
    expect(refused).toThrow(/At most 10000 bytes are accepted, also after inflation/);
  });

  it('that would become a thousand times the limit is refused', () => {
    const bomb = encode(coding, new Uint8Array(1000 * LIMIT));
    expect(bomb.length).toBeLessThan(2 * LIMIT);
    expect(() => decode(bomb, coding)).toThrow(expect.objectContaining({ slug: 'body-too-large' }));
  });

  it('that becomes many times as large is refused long before the limit', () => {
    const megabytes = encode(coding, new Uint8Array(20 * 2 ** 20));
    const limit = 30 * 2 ** 20;
    expect(() => decodeContent(new Uint8Array(megabytes), [coding], limit)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/without Content-Encoding/) }),
    );
  });

  it('that is cut off, or something else, is refused', () => {
    const whole = encode(coding, crypto.getRandomValues(new Uint8Array(500)));
    const broken = expect.objectContaining({ slug: 'invalid-content-encoding' });
    expect(() => decode(whole.subarray(0, -10), coding)).toThrow(broken);
    expect(() => decode(bytesOf('{"image": {}}'), coding)).toThrow(broken);
    expect(() => decode(new Uint8Array(), coding)).toThrow(broken);
  });

  it('refuses arbitrary bytes with a problem', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          expect(decode(bytes, coding)).toBeInstanceOf(Uint8Array);
        } catch (error) {
          expect(error).toMatchObject({ name: 'ApiError' });
        }
      }),
    );
  });
});

it.each(['gzip', 'zstd'])('decodes one %s after the other', (coding) => {
  const pieces = ['a dog', '', 'a cat'].map((text) => encode(coding, bytesOf(text)));
  const decoded = decode(Buffer.concat(pieces), coding);
  expect(new TextDecoder().decode(decoded)).toBe('a doga cat');
  const many = Buffer.concat(Array(20).fill(encode(coding, new Uint8Array(LIMIT / 10))));
  expect(() => decode(many, coding)).toThrow(/At most/);
});

describe('frames of zstd', () => {
  const empty = encode('zstd', new Uint8Array());
  const frames = (count: number) => Buffer.concat(Array(count).fill(empty));
  const refused = expect.objectContaining({
    slug: 'invalid-content-encoding',
    message: expect.stringMatching(/more than \d+ frames of zstd/),
  });

  it('are few where they are small', () => {
    expect(decode(frames(32), 'zstd')).toHaveLength(0);
    expect(() => decode(frames(33), 'zstd')).toThrow(refused);
  });

  it('are as many as the bytes are worth', () => {
    // One block of bytes as they are, behind the head of a single segment.
    const head = Uint8Array.fromHex('28b52ffda000000100010008');
    const large = Buffer.concat([head, crypto.getRandomValues(new Uint8Array(2 ** 16))]);
    const body = Buffer.concat(Array(40).fill(large));
    expect(decodeContent(new Uint8Array(body), ['zstd'], 2 ** 22)).toHaveLength(40 * 2 ** 16);
  });

  it('count together where a body is compressed twice', () => {
    const inner = encode('zstd', frames(30));
    expect(decode(inner, 'zstd', 'zstd')).toHaveLength(0);
    expect(() => decode(Buffer.concat([inner, frames(2)]), 'zstd', 'zstd')).toThrow(refused);
  });
});

it('decodes deflate without its wrapper, as some clients send it', () => {
  const bytes = bytesOf('a dog, a dog, a dog');
  expect(decode(zlib.deflateRawSync(bytes), 'deflate')).toEqual(bytes);
});

it('refuses zstd with a larger window than HTTP allows', () => {
  const wide = Uint8Array.fromHex('28b52ffd00884c00001061610100ef2ac002a30f0061');
  expect(zlib.zstdDecompressSync(wide)).toHaveLength(1000);
  expect(() => decode(wide, 'zstd')).toThrow(/is not zstd/);
});

it('decodes two codings, the last applied first, each within the limit', () => {
  const bytes = bytesOf('a dog');
  expect(decode(encode('br', encode('gzip', bytes)), 'gzip', 'br')).toEqual(bytes);
  const inner = encode('gzip', encode('gzip', new Uint8Array(1000 * LIMIT)));
  expect(() => decode(inner, 'gzip', 'gzip')).toThrow(/At most/);
});

it.each<[string | null, string[]]>([
  [null, []],
  ['', []],
  ['identity', []],
  ['GZIP', ['gzip']],
  ['x-gzip', ['gzip']],
  ['deflate , br', ['deflate', 'br']],
  ['identity, zstd', ['zstd']],
])('Content-Encoding: %j is %j', (header, expected) => {
  expect(parseContentEncoding(header)).toEqual(expected);
});

it.each(['compress', 'gzip, pack200', 'aws-chunked', 'toString', 'gzip, gzip, gzip'])(
  'Content-Encoding: %s is refused, and what is possible is said',
  (header) => {
    expect(() => parseContentEncoding(header)).toThrow(
      expect.objectContaining({
        slug: 'unsupported-content-encoding',
        status: 415,
        headers: { 'accept-encoding': 'gzip, deflate, br, zstd' },
      }),
    );
  },
);

it('reads a list of 64 codings, those that are none included', () => {
  expect(parseContentEncoding(`${'identity,'.repeat(63)}gzip`)).toEqual(['gzip']);
  expect(() => parseContentEncoding(`${'identity,'.repeat(64)}gzip`)).toThrow('More than 64');
});
