/** Results are counted once, and a range of them is rendered from a place near before it. */
import { expect, test } from 'vitest';
import type { ResultCursor } from '../../jobs/contract.ts';
import { ranged } from './rendered-lines.ts';
import { measured, type RenderedLines } from './rendered-size.ts';

const PIECE = new Uint8Array(2 ** 24);
const PIECES = 12;

/** Pieces of 16 MiB. */
function counted(onPiece: (item: number) => Promise<void> | void = () => {}) {
  const begun: (number | undefined)[] = [];
  const lines: RenderedLines = async function* (from?: ResultCursor) {
    begun.push(from?.item);
    for (let item = from?.item ?? 0; item < PIECES; item++) {
      await onPiece(item);
      yield { bytes: PIECE, next: { part: 0, item: item + 1 } };
    }
  };
  return { begun, lines };
}

test('who asks at the same time waits for the one that counts', async () => {
  const { begun, lines } = counted();
  const all = await Promise.all([1, 2, 3, 4].map(() => measured(lines, 'together')));
  expect(all.map(({ bytes }) => bytes)).toEqual(all.map(() => PIECES * 2 ** 24));
  expect(begun).toEqual([undefined]);
  await measured(lines, 'together');
  expect(begun).toHaveLength(1);
});

test('where the one that counts is gone, the next goes on where it was', async () => {
  let now = 0;
  const never = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  const { begun, lines } = counted((item) => {
    if (item !== 5 || begun.length > 1) return;
    stopped.resolve();
    return never.promise;
  });
  measured(lines, 'gone', () => now);
  await stopped.promise;
  now = 10_000;
  const { bytes, marks } = await measured(lines, 'gone', () => now);
  expect(bytes).toBe(PIECES * 2 ** 24);
  expect(begun).toEqual([undefined, 5]);
  expect(marks.map(({ from }) => from.item)).toEqual([4, 8, 12]);
});

test('counting that fails is tried again', async () => {
  let fails = true;
  const { lines } = counted(() => {
    if (fails) throw new Error('the bucket');
  });
  await expect(measured(lines, 'fails')).rejects.toThrow('the bucket');
  fails = false;
  expect((await measured(lines, 'fails')).bytes).toBe(PIECES * 2 ** 24);
});

test('the last byte is rendered without what is long before it', async () => {
  const { begun, lines } = counted();
  const reply = await ranged(lines, { tag: 'range', range: 'bytes=-1', headers: {} });
  expect((await reply.arrayBuffer()).byteLength).toBe(1);
  const later = await ranged(lines, { tag: 'range', range: `bytes=${5 * 2 ** 24}-`, headers: {} });
  expect((await later.arrayBuffer()).byteLength).toBe(7 * 2 ** 24);
  expect(begun).toEqual([undefined, 8, 4]);
});
