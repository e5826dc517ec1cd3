/** WordPiece beside its plain definition, which looks up every beginning of what is left of a word. */
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { wordPiece } from './word-piece.ts';

const PIECES = ['a', 'b', 'abc', '##a', '##b', '##c', '##ab', '##bca', '##𐐨', '##𐐨a', '𐐨b'];
const UNKNOWN = PIECES.length;
const vocab = Object.fromEntries([...PIECES, '[UNK]'].map((piece, id) => [piece, id]));
const { encode } = wordPiece({
  normalizer: { type: 'BertNormalizer' },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  added_tokens: [],
  model: { type: 'WordPiece', unk_token: '[UNK]', vocab },
});

function byDefinition(word: string): number[] {
  const letters = Array.from(word);
  const ids: number[] = [];
  for (let start = 0; start < letters.length; ) {
    let end = letters.length;
    const piece = () => (start === 0 ? '' : '##') + letters.slice(start, end).join('');
    while (end > start && vocab[piece()] === undefined) end--;
    if (end === start) return [UNKNOWN];
    ids.push(vocab[piece()] ?? UNKNOWN);
    start = end;
  }
  return ids;
}

afterEach(() => void vi.restoreAllMocks());

it('any word becomes the pieces of the definition', () => {
  const letter = fc.constantFrom('a', 'b', 'c', '𐐨');
  fc.assert(
    fc.property(fc.array(letter, { minLength: 1, maxLength: 100 }), (letters) => {
      const word = letters.join('');
      expect(encode(word)).toEqual(byDefinition(word));
    }),
  );
});

it('a letter of a long word is looked up with no more than the longest piece has', () => {
  const word = 'b'.repeat(100);
  const get = vi.spyOn(Map.prototype, 'get');
  expect(encode(word)).toHaveLength(100);
  const longest = Math.max(...PIECES.map((piece) => piece.length));
  expect(get.mock.calls.length).toBeLessThanOrEqual(longest * word.length);
});

it('marks are left out, whatever their number and order', () => {
  expect(encode(`a${'\u0301'.repeat(4000)}${'\u0316'.repeat(4000)}b`)).toEqual(encode('ab'));
});
