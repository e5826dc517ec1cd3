/** How much a pass of the first chunks of several prompts computes: all its rows are as long as the longest. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EngineSetup, exactly } from './testing/engine-setup.ts';

const CHUNK = 64;
const caller = { options: { caller: { client: 'a', priority: 'interactive' } } } as const;
const prompt = (length: number) => Array.from({ length }, (_, i) => 2 + (i % 20));

/** Positions that each pass of prompts computes, padding included. */
async function computedOf(lengths: readonly number[], maxSlots: number, areKnown: boolean) {
  const setup = new EngineSetup({ maxSlots, prefixCacheBytes: 2 ** 20 });
  const ids = lengths.map((_, i) => 1 + i);
  // Their images are known.
  if (areKnown) {
    for (const id of ids) setup.submit(id, { ids: [30], config: exactly(1), ...caller });
    await setup.finish();
  }
  const before = setup.decoder.batches.length;
  for (const [i, length] of lengths.entries()) {
    setup.submit(1 + i, { ids: prompt(length), config: exactly(1), ...caller });
  }
  await setup.finish();
  const passes = setup.decoder.batches.slice(before).filter(({ kind }) => kind === 'prefill');
  return passes.map(({ rows }) => {
    const texts = rows.map((row) => {
      return row !== null && 'positions' in row ? row.positions.end - row.positions.start : 0;
    });
    return { rows: rows.length, positions: rows.length * Math.max(...texts) };
  });
}

it('a long text and seven of one token are two passes, not one of eight long rows', async () => {
  expect(await computedOf([49, 1, 1, 1, 1, 1, 1, 1], 8, true)).toEqual([
    { rows: 1, positions: 49 },
    { rows: 7, positions: 7 },
  ]);
});

it('a pass of several prompts computes no more than a chunk', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 150 })), { maxLength: 24 }),
      fc.integer({ min: 1, max: 32 }),
      fc.boolean(),
      async (lengths, maxSlots, areKnown) => {
        for (const { rows, positions } of await computedOf(lengths, maxSlots, areKnown)) {
          if (rows > 1) expect(positions).toBeLessThanOrEqual(CHUNK);
        }
      },
    ),
    { numRuns: 60 },
  );
});
