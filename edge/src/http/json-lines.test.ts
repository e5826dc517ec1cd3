/** Lines of a stream, whatever pieces it comes in. */
import { Buffer } from 'node:buffer';
import { ApiError } from '@blip2/shared/errors';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { linesOf } from './json-lines.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);

async function read(pieces: readonly Uint8Array[], maxBytes = 100) {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  return (await Array.fromAsync(linesOf(stream, maxBytes))).flat();
}

async function refusal(pieces: readonly Uint8Array[], maxBytes?: number): Promise<ApiError> {
  const thrown = await read(pieces, maxBytes).catch((error: unknown) => error);
  if (!(thrown instanceof ApiError)) throw new Error(`no ApiError: ${thrown}`);
  return thrown;
}

describe('lines', () => {
  it('are those of the whole text, in whatever pieces it comes', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('', 'a', 'ü€', '{"a": 1}', ' ')),
        fc.array(fc.nat(60)),
        async (lines, cuts) => {
          const bytes = bytesOf(lines.join('\n'));
          const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length];
          places.sort((a, b) => a - b);
          const pieces = places.slice(1).map((end, i) => bytes.slice(places[i], end));
          const expected = lines
            .map((text, i) => ({ text, number: i + 1 }))
            .filter(({ text }) => text.trim() !== '');
          expect(await read(pieces)).toEqual(expected);
        },
      ),
    ));

  it('that are empty leave nothing in memory, however many there are', async () => {
    const concat = vi.spyOn(Buffer, 'concat');
    try {
      const newlines = bytesOf('\n'.repeat(50));
      expect(await read([...Array(1000).fill(newlines), bytesOf('{}')])).toEqual([
        { text: '{}', number: 50_001 },
      ]);
      expect(concat).not.toHaveBeenCalled();
    } finally {
      concat.mockRestore();
    }
  });

  it('that are short come some hundreds at a time, after pauses, and are not copied', async () => {
    const concat = vi.spyOn(Buffer, 'concat');
    const wait = vi.spyOn(scheduler, 'wait');
    try {
      const stream = new Blob(['{}\n'.repeat(20_000)]).stream();
      const counts = (await Array.fromAsync(linesOf(stream, 100))).map(({ length }) => length);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(20_000);
      expect(Math.max(...counts)).toBeLessThanOrEqual(512);
      expect(wait.mock.calls.length).toBeGreaterThan(20);
      expect(concat.mock.calls.length).toBeLessThan(20);
    } finally {
      concat.mockRestore();
      wait.mockRestore();
    }
  });

  it('that are too long, or not UTF-8, are named', async () => {
    const long = await refusal([bytesOf('a\n\nbb'), bytesOf('bbb')], 4);
    expect(long).toMatchObject({
      slug: 'invalid-request',
      message: 'Line 3 has more than 4 bytes.',
    });
    const latin1 = await refusal([Uint8Array.of(0x61, 0x0a, 0xe9, 0x0a)]);
    expect(latin1).toMatchObject({ slug: 'invalid-request', message: 'Line 2 is not UTF-8.' });
  });
});

it('counts blank lines as work and as lines, and decodes none', async () => {
  const decode = vi.spyOn(TextDecoder.prototype, 'decode');
  const work: number[] = [];
  const slices = {
    after: async (done: number) => void work.push(done),
    away: async <T>(call: () => Promise<T>) => await call(),
  };
  const blanks = bytesOf(' \n\n\t\r\n'.repeat(1000));
  async function* stream() {
    yield blanks;
  }
  const pieces = await Array.fromAsync(linesOf(stream(), 100, { maxLines: 3000, slices }));
  expect([pieces.flat(), decode.mock.calls]).toEqual([[], []]);
  expect(work).toHaveLength(6);
  expect(work.reduce((sum, done) => sum + done)).toBe(blanks.length + 64 * 3000);
  decode.mockRestore();
  const beyond = linesOf(stream(), 100, { maxLines: 2999 });
  await expect(Array.fromAsync(beyond)).rejects.toMatchObject({
    message: expect.stringContaining('2999 lines at most'),
    extras: { field: 'line 3000', limit: 2999 },
  });
});
