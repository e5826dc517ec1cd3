/** Words that a fine-tune added: where they are found, by their flags, and that nothing else changes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeWithWords } from './added-tokens.ts';
import type { AddedToken } from './tokenizer-file.ts';

const word = (content: string, flags: Partial<AddedToken> = {}): AddedToken => ({
  id: 100,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: false,
  ...flags,
});

/** What is found between words, in order: its ids are places in this list. */
function cut(words: readonly AddedToken[], text: string, normalize = (part: string) => part) {
  const stretches: string[] = [];
  const ids = encodeWithWords(words, normalize, ({ text: part }) => [stretches.push(part) - 1])(
    text,
  );
  return ids.map((id) => stretches[id] ?? id);
}

describe('a word', () => {
  it.each<[string, Partial<AddedToken>, string, (string | number)[]]>([
    ['<r>', {}, 'a <r> b', ['a ', 100, ' b']],
    ['<r>', {}, '<r><r>', [100, 100]],
    ['<r>', {}, '<r', ['<r']],
    ['<r>', { lstrip: true }, 'a \n<r> b', ['a', 100, ' b']],
    ['<r>', { rstrip: true }, 'a <r>\u00a0 b', ['a ', 100, 'b']],
    ['<r>', { lstrip: true, rstrip: true }, ' <r>  <r> ', [100, 100]],
    ['dog', { single_word: true }, 'dog dogs _dog dog.', [100, ' dogs _dog ', 100, '.']],
    ['dog', { single_word: true }, 'ñdog 犬dog dog\u0301', ['ñdog 犬dog dog\u0301']],
    ['.*', {}, 'a.*b .x*', ['a', 100, 'b .x*']],
    [' ', { lstrip: true, rstrip: true }, 'a   b', ['a', 100, 'b']],
  ])('%j with %j is found in %j', (content, flags, text, parts) => {
    expect(cut([word(content, flags)], text)).toEqual(parts);
  });

  it('that is longer is found before those that it begins with', () => {
    const words = [word('ab', { id: 101 }), word('abc', { id: 102 }), word('b')];
    expect(cut(words, 'xabcab')).toEqual(['x', 102, 101]);
  });

  it('is found in the text as it is, and where it is normalized in the normalized text', () => {
    const words = [word('A'), word('B', { id: 101, normalized: true })];
    const lower = (text: string) => text.toLowerCase();
    expect(cut(words, 'AaBbX', lower)).toEqual([100, 'a', 101, 101, 'x']);
  });

  it('of which nothing is left once normalized is refused', () => {
    const nothing = () => '';
    expect(() => cut([word('\u200b', { normalized: true })], 'a', nothing)).toThrow(/"\u200b"/);
  });
});

describe('any text', () => {
  const units = fc.constantFrom('a', 'ab', 'é', ' ', '\n', '🐕', '<', 'r>', '<r>', '_', '.');
  const text = fc.array(units, { maxLength: 20 }).map((parts) => parts.join(''));
  const flags = fc.record({ single_word: fc.boolean(), normalized: fc.boolean() });
  const words = fc.uniqueArray(
    fc.tuple(fc.constantFrom('a', 'ab', '<r>', '<r', 'é', ' ', '🐕 '), flags),
    { selector: ([content]) => content, maxLength: 4 },
  );

  it('comes back whole from its parts, which never hold a word that may stand anywhere', () => {
    fc.assert(
      fc.property(text, words, (whole, chosen) => {
        const added = chosen.map(([content, flag], i) => word(content, { id: 100 + i, ...flag }));
        const parts = cut(added, whole);
        const said = parts.map((part) =>
          typeof part === 'string' ? part : added[part - 100]?.content,
        );
        expect(said.join('')).toBe(whole);
        const anywhere = added.filter(({ single_word }) => !single_word);
        // One that is found first may cut another in two.
        if (added.length > 1) return;
        for (const { content } of anywhere) {
          expect(parts.filter((part) => String(part).includes(content))).toEqual([]);
        }
      }),
    );
  });
});
