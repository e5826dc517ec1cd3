/** The best path through a word, beside a search through all of them. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mostLikelyPieces } from './unigram-path.ts';

type Vocabulary = (readonly [piece: string, score: number])[];

/** Scores of every way to cut a word into pieces. */
function allScores(vocab: Vocabulary, word: string): number[] {
  if (word === '') return [0];
  return vocab
    .filter(([piece]) => piece !== '' && word.startsWith(piece))
    .flatMap(([piece, score]) =>
      allScores(vocab, word.slice(piece.length)).map((rest) => score + rest),
    );
}

it('no way to cut a word into pieces is more likely than the one that is taken', () => {
  const letters: Vocabulary = [
    ['a', -5],
    ['b', -5],
    ['🐕', -6],
  ];
  const word = fc
    .array(fc.constantFrom('a', 'b', '🐕'), { minLength: 1, maxLength: 7 })
    .map((parts) => parts.join(''));
  const pieces = fc.uniqueArray(fc.tuple(word, fc.integer({ min: -20, max: -1 })), {
    selector: ([piece]) => piece,
    maxLength: 8,
  });
  fc.assert(
    fc.property(pieces, word, (more, text) => {
      const longer = more.filter(([piece]) => !letters.some(([letter]) => letter === piece));
      const vocab: Vocabulary = [['<unk>', 0], ...letters, ...longer];
      const ids = mostLikelyPieces(vocab, 0)(text);
      expect(ids.map((id) => vocab[id]?.[0]).join('')).toBe(text);
      const score = ids.reduce((sum, id) => sum + (vocab[id]?.[1] ?? 0), 0);
      expect(score).toBe(Math.max(...allScores(vocab, text)));
    }),
  );
});

it('letters in a row that no piece covers are one unknown token', () => {
  const encode = mostLikelyPieces(
    [
      ['<unk>', 0],
      ['a', -1],
    ],
    0,
  );
  expect(encode('xyaaz🐕')).toEqual([0, 1, 1, 0]);
  expect(encode('')).toEqual([]);
});
