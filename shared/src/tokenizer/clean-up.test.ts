import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CLEAN_UP, createCleaner } from './clean-up.ts';

/** As `transformers` does it: one replacement after the other, each over the whole text. */
const cleanUp = (text: string) =>
  CLEAN_UP.reduce((clean, [found, by]) => clean.replaceAll(found, by), text);

/** A text in parts, rewritten while they come. */
function streamed(parts: readonly string[]): string[] {
  const cleaner = createCleaner();
  return [...parts.map((part) => cleaner.push(part)), cleaner.end()];
}

describe('cleaning up', () => {
  it.each([
    ['a dog , a cat . why ? no !', 'a dog, a cat. why? no!'],
    ["i do n't , it 's , we 've , they 're , i 'm", "i don't, it's, we've, they're, i'm"],
    ["the dogs ' mat", "the dogs'mat"],
    // One replacement makes what the next one finds.
    ["do n ' t", "don't"],
    ['two  . spaces', 'two . spaces'],
    ['nothing here', 'nothing here'],
  ])('makes %j %j', (text, expected) => {
    expect(cleanUp(text)).toBe(expected);
    expect(streamed([text]).join('')).toBe(expected);
  });

  it('of a text that comes in parts is that of the whole, whatever the parts', () => {
    const unit = fc.constantFrom(' ', ' ', "'", 'n', 't', 'v', 'r', 'e', 's', 'm', '.', ',', 'x');
    const part = fc.string({ unit, maxLength: 6 });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const [first = '', ...rest] = parts.filter((each) => each !== '');
        const whole = [first.replace(/^ +/, ''), ...rest].join('');
        expect(streamed(parts).join('')).toBe(cleanUp(whole));
      }),
      { numRuns: 5000 },
    );
  });

  it.each(["   '", ' n', " 'v", " '", ' ', " n'", '  '])(
    'holds back some characters alone, however long a text goes on as %j',
    (unit) => {
      const [cleaner, count] = [createCleaner(), 800];
      let emitted = cleaner.push('a');
      for (let n = 1; n <= count; n++) {
        emitted += cleaner.push(unit);
        // What is emitted and the rest that may still come are the whole: how much is held back shows in the lengths.
        const whole = cleanUp(`a${unit.repeat(n)}`);
        expect(whole.startsWith(emitted.slice(0, -1))).toBe(true);
        expect(whole.length - emitted.length).toBeLessThan(30);
      }
      expect(emitted + cleaner.end()).toBe(cleanUp(`a${unit.repeat(count)}`));
    },
  );

  it('holds back no more than may still change', () => {
    expect(streamed([' a', ' dog', ' ', '.', ' it', " '", 's', ' n', 'ew'])).toEqual([
      ...['a', ' dog', '', '.', ' it', '', "'s", '', ' new'],
      '',
    ]);
  });
});
