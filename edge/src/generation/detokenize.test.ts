import { describe, expect, it } from 'vitest';
import { createDetokenizer } from './detokenize.ts';

/** Pieces of a text whose bytes are cut into tokens of the given lengths. */
function piecesOf(bytes: Uint8Array, lengths: () => number): string[] {
  const tokens: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const token = bytes.subarray(at, at + lengths());
    tokens.push(token);
    at += token.length;
  }
  const detokenizer = createDetokenizer((id) => tokens[id] ?? new Uint8Array());
  return [...tokens.keys()].map((id) => detokenizer.push(id)).concat(detokenizer.end());
}

const TEXTS = [
  'a red dog',
  '  a dog \n',
  'naïve café',
  '日本語の文',
  '🐕‍🦺 and 👩‍👩‍👧‍👦',
  '\n\n  ',
  '',
  ' a  b\t\tc ',
  '\ufeffmark',
];

/** A small seeded generator (mulberry32): failures repeat. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('pieces', () => {
  it.each(TEXTS)('of %j are the trimmed text, however it is cut', (text) => {
    const bytes = new TextEncoder().encode(text);
    for (let seed = 1; seed <= 200; seed++) {
      const next = random(seed);
      const pieces = piecesOf(bytes, () => 1 + Math.floor(next() * 4));
      expect(pieces.join('')).toBe(text.trim());
      for (const piece of pieces) expect(piece).not.toContain('\ufffd');
    }
  });

  it('of any bytes are what a decoder of the whole says', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const next = random(seed);
      const bytes = Uint8Array.from({ length: 1 + Math.floor(next() * 20) }, () => next() * 256);
      const pieces = piecesOf(bytes, () => 1 + Math.floor(next() * 3));
      const whole = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true }).decode(bytes);
      expect(pieces.join('')).toBe(whole.trim());
    }
  });

  it('come as soon as their last byte', () => {
    expect(piecesOf(new TextEncoder().encode('aé b'), () => 1)).toEqual([
      'a',
      '',
      'é',
      '',
      ' b',
      '',
    ]);
  });
});
