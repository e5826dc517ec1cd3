import zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEAR_MS } from '../turns/dear-work.ts';
import { decodeContent, decodingMs, parseContentEncoding } from './content-encoding.ts';

const LIMIT = 10_000;

const ENCODERS: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  gzip: (bytes) => zlib.gzipSync(bytes),
  deflate: (bytes) => zlib.deflateSync(bytes),
  zstd: (bytes) => zlib.zstdCompressSync(bytes),
};
const codings = Object.keys(ENCODERS);
const encode = (coding: string, bytes: Uint8Array) =>
  new Uint8Array(ENCODERS[coding]?.(bytes) ?? bytes);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array, coding: string, limit = LIMIT) =>
  decodeContent(new Uint8Array(bytes), { coding, limit, turn: async () => {} });

describe.each(codings)('%s', (coding) => {
  it('gives back every body', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) => {
        expect(await decode(encode(coding, bytes), coding)).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 30 },
    );
  });

  it('is decoded up to the limit and not beyond', async () => {
    expect(await decode(encode(coding, new Uint8Array(LIMIT)), coding)).toHaveLength(LIMIT);
    await expect(decode(encode(coding, new Uint8Array(LIMIT + 1)), coding)).rejects.toThrow(
      /At most 10000 bytes are accepted, also after inflation/,
    );
  });

  it('that would become a thousand times the limit is refused', async () => {
    const bomb = encode(coding, new Uint8Array(1000 * LIMIT));
    expect(bomb.length).toBeLessThan(2 * LIMIT);
    await expect(decode(bomb, coding)).rejects.toMatchObject({ slug: 'body-too-large' });
  });

  it('that becomes many times as large is refused long before the limit', async () => {
    const megabytes = encode(coding, new Uint8Array(20 * 2 ** 20));
    await expect(decode(megabytes, coding, 30 * 2 ** 20)).rejects.toThrow(
      /without Content-Encoding/,
    );
  });

  it('that is cut off, or something else, is refused', async () => {
    const whole = encode(coding, crypto.getRandomValues(new Uint8Array(500)));
    for (const broken of [whole.subarray(0, -10), bytesOf('{"image": {}}'), new Uint8Array()]) {
      await expect(decode(broken, coding)).rejects.toMatchObject({
        slug: 'invalid-content-encoding',
      });
    }
  });

  it('refuses arbitrary bytes with a problem', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
        const decoded = await decode(bytes, coding).catch((error: unknown) => error);
        if (decoded instanceof Uint8Array) return;
        expect(decoded).toMatchObject({ name: 'ApiError' });
      }),
    );
  });

  it('with bytes behind it is decoded, or refused', async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(500));
    const behind = Buffer.concat([encode(coding, bytes), new Uint8Array(100_000).fill(7)]);
    const decoded = await decode(behind, coding).catch((error: unknown) => error);
    if (decoded instanceof Uint8Array) expect(decoded).toEqual(bytes);
    else expect(decoded).toMatchObject({ slug: 'invalid-content-encoding' });
  });
});

/** Turns that decoding takes, and what comes of it. @param tookMs what each piece of work takes, the last of them all that follow */
async function turnsOf(bytes: Uint8Array, coding: string, tookMs = [10]) {
  const asked: number[] = [];
  const turn = async (ms: number) => void asked.push(ms);
  let time = 0;
  const now = () => {
    time += tookMs[asked.length - 1] ?? tookMs.at(-1) ?? 0;
    return time;
  };
  const clock = { now, pause: async () => {} };
  const decoded = await decodeContent(new Uint8Array(bytes), {
    ...{ coding, limit: 2 ** 24, turn, clock },
  });
  return { asked, length: decoded.length };
}

describe('what is work without content', () => {
  /** Blocks of zlib's that are stored, and empty. */
  const emptyBlocks = (count: number) => {
    const block = Uint8Array.of(0, 0, 0, 0xff, 0xff);
    const blocks = new Uint8Array(5 * count);
    for (let n = 0; n < count; n++) blocks.set(block, 5 * n);
    blocks[5 * (count - 1)] = 1;
    return blocks;
  };

  it('takes a turn for each 25 milliseconds that its bytes may be', async () => {
    const bytes = emptyBlocks(200_000);
    const { asked, length } = await turnsOf(bytes, 'deflate');
    expect(length).toBe(0);
    expect(asked.length).toBeGreaterThanOrEqual(decodingMs(bytes.length, 'deflate') / 30);
    expect(asked.every((ms) => ms <= DEAR_MS)).toBe(true);
  });

  it('is more in a turn that follows one that took little', async () => {
    const { asked } = await turnsOf(emptyBlocks(600_000), 'deflate', [7]);
    expect(asked.slice(0, 4)).toEqual([25, 100, 100, 100]);
  });

  it('is little again at once in a turn that follows one that took long', async () => {
    const { asked } = await turnsOf(emptyBlocks(600_000), 'deflate', [7, 33, 8, 7]);
    expect(asked.slice(0, 5)).toEqual([25, 100, 25, 25, 100]);
  });

  it.each([
    [7, 100],
    [8, 25],
  ])('takes the %i milliseconds of a pause where the clock stands still else', async (ms, next) => {
    const asked: number[] = [];
    const turn = async (cost: number) => void asked.push(cost);
    let time = 0;
    const pause = async () => {
      time += ms;
    };
    const clock = { now: () => time, pause };
    const options = { coding: 'deflate', limit: 2 ** 24, turn, clock };
    await decodeContent(emptyBlocks(600_000), options);
    expect(asked.slice(0, 3)).toEqual([25, next, next]);
  });

  it('is done no further than the turns that it gets', async () => {
    let turns = 0;
    const turn = async () => {
      if (++turns === 3) throw new TypeError('no turn');
    };
    const options = { coding: 'deflate', limit: LIMIT, turn };
    await expect(decodeContent(emptyBlocks(600_000), options)).rejects.toThrow();
    expect(turns).toBe(3);
  });
});

it('what comes out takes turns as well', async () => {
  const few = await turnsOf(encode('gzip', new Uint8Array(2 ** 20)), 'gzip');
  expect(few).toMatchObject({ asked: [expect.any(Number)], length: 2 ** 20 });
  const bytes = new Uint8Array(12_000_000);
  for (let at = 0; at < bytes.length; at += 200_000) {
    crypto.getRandomValues(bytes.subarray(at, at + 8000));
  }
  const many = await turnsOf(encode('gzip', bytes), 'gzip');
  expect(many.length).toBe(bytes.length);
  expect(many.asked.length).toBeGreaterThan(2);
});

it.each(['gzip', 'zstd'])('decodes one %s after the other', async (coding) => {
  const pieces = ['a dog', '', 'a cat'].map((text) => encode(coding, bytesOf(text)));
  const decoded = await decode(Buffer.concat(pieces), coding);
  expect(new TextDecoder().decode(decoded)).toBe('a doga cat');
  const many = Buffer.concat(Array(20).fill(encode(coding, new Uint8Array(LIMIT / 10))));
  await expect(decode(many, coding)).rejects.toThrow(/At most/);
});

describe('frames of zstd', () => {
  const empty = encode('zstd', new Uint8Array());
  const frames = (count: number) => Buffer.concat(Array(count).fill(empty));

  it('are few where they are small', async () => {
    expect(await decode(frames(32), 'zstd')).toHaveLength(0);
    await expect(decode(frames(33), 'zstd')).rejects.toMatchObject({
      slug: 'invalid-content-encoding',
      message: expect.stringMatching(/more than \d+ frames of zstd/),
    });
  });

  it('are as many as the bytes are worth', async () => {
    // One block of bytes as they are, behind the head of a single segment.
    const head = Uint8Array.fromHex('28b52ffda000000100010008');
    const large = Buffer.concat([head, crypto.getRandomValues(new Uint8Array(2 ** 16))]);
    const body = Buffer.concat(Array(40).fill(large));
    expect(await decode(body, 'zstd', 2 ** 22)).toHaveLength(40 * 2 ** 16);
  });
});

it('decodes deflate without its wrapper, as some clients send it', async () => {
  const bytes = bytesOf('a dog, a dog, a dog');
  expect(await decode(zlib.deflateRawSync(bytes), 'deflate')).toEqual(bytes);
});

it('refuses zstd with a larger window than HTTP allows', async () => {
  const wide = Uint8Array.fromHex('28b52ffd00884c00001061610100ef2ac002a30f0061');
  expect(zlib.zstdDecompressSync(wide)).toHaveLength(1000);
  await expect(decode(wide, 'zstd')).rejects.toThrow(/is not zstd/);
});

it.each<[string | null, string | null]>([
  [null, null],
  ['', null],
  ['identity', null],
  ['GZIP', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate , identity', 'deflate'],
  ['identity, zstd', 'zstd'],
])('Content-Encoding: %j is %j', (header, expected) => {
  expect(parseContentEncoding(header)).toBe(expected);
});

it.each(['compress', 'br', 'gzip, pack200', 'aws-chunked', 'toString', 'gzip, gzip', 'br, gzip'])(
  'Content-Encoding: %s is refused, and what is possible is said',
  (header) => {
    expect(() => parseContentEncoding(header)).toThrow(
      expect.objectContaining({
        slug: 'unsupported-content-encoding',
        status: 415,
        message: expect.stringMatching(/; use (gzip, deflate, zstd, or none|one)\.$/),
        headers: { 'accept-encoding': 'gzip, deflate, zstd' },
      }),
    );
  },
);

it('reads a list of 64 codings, those that are none included', () => {
  expect(parseContentEncoding(`${'identity,'.repeat(63)}gzip`)).toBe('gzip');
  expect(() => parseContentEncoding(`${'identity,'.repeat(64)}gzip`)).toThrow('More than 64');
});
