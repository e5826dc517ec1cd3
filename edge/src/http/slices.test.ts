import { expect, it } from 'vitest';
import { slicesOf } from './slices.ts';

const KIBIBYTE = 1024;

/** Lengths in KiB of the slices of pieces, by a reader that takes so many milliseconds for each. */
async function lengthsOf(pieces: readonly number[], ms: (slice: number) => number) {
  let time = 0;
  const chunks = (async function* () {
    for (const piece of pieces) yield new Uint8Array(piece * KIBIBYTE).fill(7);
  })();
  const lengths: number[] = [];
  for await (const { length } of slicesOf(chunks, () => time)) {
    time += ms(lengths.length);
    lengths.push(length / KIBIBYTE);
  }
  return lengths;
}

it('who reads slowly gets slices, who reads fast long ones', async () => {
  expect(await lengthsOf([64], () => 1000)).toEqual([16, 16, 16, 16]);
  expect(await lengthsOf([64], () => 200)).toEqual([16, 16, 16, 16]);
  expect(await lengthsOf([256], () => 1)).toEqual([16, 32, 64, 64, 64, 16]);
  // That a short one was read fast says nothing.
  expect(await lengthsOf([1, 1, 1, 32], () => 1)).toEqual([1, 1, 1, 16, 16]);
});

it('who was fast, and is slow, gets slices again', async () => {
  const lengths = await lengthsOf([256], (slice) => (slice < 2 ? 1 : 1000));
  expect(lengths).toEqual([16, 32, 64, 32, 16, 16, 16, 16, 16, 16, 16]);
});

it('slices are the same bytes, and whoever leaves them ends their source', async () => {
  let hasEnded = false;
  const chunks = (async function* () {
    try {
      for (;;) yield Uint8Array.from({ length: 40 * KIBIBYTE }, (_, at) => at % 251);
    } finally {
      hasEnded = true;
    }
  })();
  const come: number[] = [];
  for await (const slice of slicesOf(chunks, () => 0)) {
    come.push(...slice);
    if (come.length === 40 * KIBIBYTE) break;
  }
  expect(come.every((byte, at) => byte === at % 251)).toBe(true);
  expect(hasEnded).toBe(true);
});
