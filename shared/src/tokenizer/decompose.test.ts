/** Canonical decomposition beside the platform's own, and what of it is left to that. */
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { decompose } from './decompose.ts';

const NATIVE = String.prototype.normalize;
const nfd = (text: string): string => NATIVE.call(text, 'NFD');

const ALL: string[] = [];
for (let code = 0; code <= 0x10_ffff; code++) {
  if (code < 0xd800 || code > 0xdfff) ALL.push(String.fromCodePoint(code));
}
const MARKS = ALL.filter((character) => /\p{M}/u.test(character));

afterEach(() => void vi.restoreAllMocks());

it('nothing but marks changes places', () => {
  const others = ALL.filter((character) => !/\p{M}/u.test(character));
  const moved = others.filter((character) => {
    const first = String.fromCodePoint(nfd(character).codePointAt(0) ?? 0);
    // Marks of the highest class and of the lowest: all others go before the one or behind the other.
    return nfd(`\u0345${first}`) !== `\u0345${first}` || nfd(`${first}\u0334`) !== `${first}\u0334`;
  });
  expect(moved).toEqual([]);
});

it('any text becomes what the platform makes of it', () => {
  const mark = fc.constantFrom(...MARKS);
  const few = fc.constantFrom('\u0301', '\u0316', '\u0344', '\u302e', '\u302a', '\u0345', '\u0334');
  const starter = fc.constantFrom(
    'a',
    'ắ',
    '\u1f82',
    '한',
    '𝅘𝅥',
    '\u0f71',
    '中',
    ' ',
    '\ud800',
    '\u0f73',
  );
  const run = fc.oneof(
    fc.array(mark, { maxLength: 120 }),
    fc.array(few, { minLength: 30, maxLength: 200 }),
    fc.array(fc.oneof({ weight: 30, arbitrary: mark }, { weight: 1, arbitrary: starter }), {
      maxLength: 200,
    }),
  );
  const text = fc
    .array(fc.tuple(fc.oneof(starter, fc.string({ unit: 'binary' })), run), { maxLength: 4 })
    .map((parts) => parts.map(([letter, marks]) => letter + marks.join('')).join(''));
  fc.assert(
    fc.property(text, (given) => {
      expect(decompose(given)).toBe(nfd(given));
    }),
    { numRuns: 500 },
  );
});

it.each([
  ['\u0301', '\u0316'],
  ['\u302e', '\u302a'],
  ['\u{1d165}', '\u{1d167}'],
])('of very many marks %j and %j the platform sorts some at a time', (high, low) => {
  const lengths: number[] = [];
  vi.spyOn(String.prototype, 'normalize').mockImplementation(function (this: string, form) {
    lengths.push(this.length);
    return NATIVE.call(this, form);
  });
  const [many, few] = [4000, 40];
  const work = (count: number) => {
    lengths.length = 0;
    decompose(`a${high.repeat(count)}${low.repeat(count)}`);
    // What insertion takes at most.
    return lengths.reduce((sum, length) => sum + length ** 2, 0);
  };
  const [ofFew, ofMany] = [work(few), work(many)];
  expect(ofMany).toBeLessThanOrEqual((many / few) * ofFew);
});
