import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCleaner } from '../tokenizer/clean-up.ts';
import { createDetokenizer } from './detokenize.ts';

/** Deltas of a text whose bytes are cut into tokens of these lengths, over and over. */
function deltasOf(bytes: Uint8Array, lengths: readonly number[]): string[] {
  const tokens: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const token = bytes.subarray(at, at + (lengths[tokens.length % lengths.length] ?? 1));
    tokens.push(token);
    at += token.length;
  }
  const detokenizer = createDetokenizer({ bytesOf: (id) => tokens[id] ?? new Uint8Array() });
  return [...tokens.keys()].map((id) => detokenizer.push(id)).concat(detokenizer.end());
}

const lengths = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 });

describe('deltas', () => {
  it.each([
    'a red dog',
    '  a dog \n',
    'naïve café',
    '日本語の文',
    '🐕‍🦺 and 👩‍👩‍👧‍👦',
    '\n\n  ',
    '',
    ' a  b\t\tc ',
    '\ufeffmark',
  ])('of %j are the trimmed text, however the tokens cut it', (text) => {
    fc.assert(
      fc.property(lengths, (sizes) => {
        const deltas = deltasOf(new TextEncoder().encode(text), sizes);
        expect(deltas.join('')).toBe(text.trim());
        for (const delta of deltas) expect(delta).not.toContain('\ufffd');
      }),
    );
  });

  it('of any text are that text, trimmed, and never half a character', () => {
    const texts = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\ufffd'));
    fc.assert(
      fc.property(texts, lengths, (text, sizes) => {
        const deltas = deltasOf(new TextEncoder().encode(text), sizes);
        expect(deltas.join('')).toBe(text.trim());
        for (const delta of deltas) expect(delta).not.toContain('\ufffd');
      }),
    );
  });

  it('of any bytes are what a decoder makes of the whole', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), lengths, (bytes, sizes) => {
        const whole = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true }).decode(bytes);
        expect(deltasOf(bytes, sizes).join('')).toBe(whole.trim());
      }),
    );
  });

  it('are emitted with the last byte of each character', () => {
    const deltas = deltasOf(new TextEncoder().encode('aé b'), [1]);
    expect(deltas).toEqual(['a', '', 'é', '', ' b', '']);
  });

  it('are rewritten where the tokenizer says so, before white space at the ends is left out', () => {
    const words = [' a', ' dog', " '", 's', ' .', ' '];
    const bytesOf = (id: number) => new TextEncoder().encode(words[id]);
    const detokenizer = createDetokenizer({ bytesOf, createRewriter: createCleaner });
    const deltas = [...words.keys()].map((id) => detokenizer.push(id)).concat(detokenizer.end());
    expect(deltas).toEqual(['a', ' dog', '', "'s", '.', '', '']);
  });
});
