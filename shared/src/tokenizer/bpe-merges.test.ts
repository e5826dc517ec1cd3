/** Merges of byte-pair encoding, beside the plain definition: again and again the first pair of the lowest rank. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Merge, mergePieces } from './bpe-merges.ts';

function byDefinition(merges: readonly Merge[], pieces: readonly number[]): number[] {
  const ids = [...pieces];
  for (;;) {
    const ranks = ids.map((id, i) =>
      merges.findLastIndex(({ left, right }) => left === id && right === ids[i + 1]),
    );
    const lowest = Math.min(...ranks.filter((rank) => rank !== -1));
    const merge = merges[lowest];
    if (merge === undefined) return ids;
    ids.splice(ranks.indexOf(lowest), 2, merge.merged);
  }
}

it('any word becomes the pieces of the definition', () => {
  const letters = 3;
  // A vocabulary as training makes it: each merge makes a piece that is new.
  const learned = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }).map((pairs) =>
    pairs.map(
      ([a, b], i): Merge => ({
        left: a % (letters + i),
        right: b % (letters + i),
        merged: letters + i,
      }),
    ),
  );
  const word = fc.array(fc.nat({ max: letters - 1 }), { maxLength: 40 });
  fc.assert(
    fc.property(learned, word, (merges, pieces) => {
      expect(mergePieces(merges)(pieces)).toEqual(byDefinition(merges, pieces));
    }),
  );
});
