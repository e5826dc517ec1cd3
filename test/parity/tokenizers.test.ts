/** Every line of a corpus gives the ids of `tokenizers`, and back (golden/make/tokenizer_corpus.py). */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { describe, expect, it } from 'vitest';

const golden = (name: string) =>
  gunzipSync(
    readFileSync(new URL(`golden/tokenizers/${name}.json.gz`, import.meta.url)),
  ).toString();
const expected = JSON.parse(golden('expected')) as { lines: string[] } & Record<string, number[][]>;
const { lines } = expected;

it('the corpus has every control character alone, between letters and between spaces', () => {
  expect(new Set(lines).size).toBe(3500);
  const controls = [...Array(0x20).keys(), ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i)];
  const wanted = controls
    .map((code) => String.fromCodePoint(code))
    .flatMap((c) => [c, `a${c}b`, `a ${c} b`]);
  expect(wanted.filter((line) => !lines.includes(line))).toEqual([]);
});

describe.each(['opt', 't5', 'bert'])('the tokenizer of the kind "%s"', (name) => {
  const tokenizer = createTokenizer(golden(name));

  it('gives the ids of `tokenizers` for every line of the corpus', () => {
    const different = lines.flatMap((line, i) => {
      const ids = tokenizer.encode(line);
      return String(ids) === String(expected[name]![i])
        ? []
        : [{ line, ids, of: expected[name]![i] }];
    });
    expect(different).toEqual([]);
  });

  it('encodes half of a surrogate pair as U+FFFD, never as a control token', () => {
    for (const text of ['', 'a', '</s>', '<pad>', '[CLS]', '<extra_id_0>']) {
      expect(tokenizer.encode(`\ud800${text}`)).toEqual(tokenizer.encode(`\ufffd${text}`));
    }
  });

  it('encodes a word of a hundred thousand letters', () => {
    // Not timed: an algorithm that is worse than linear would meet the runner's own limit.
    expect(tokenizer.encode('ab'.repeat(50_000)).length).toBeGreaterThan(0);
  });
});

describe.each(['opt', 't5'])('decoding with the kind "%s"', (name) => {
  const tokenizer = createTokenizer(golden(name));

  it('gives the text of `tokenizers`, but for white space at the ends', () => {
    const texts = expected[`${name}-text`] as unknown as string[];
    for (const [i, ids] of expected[name]!.entries()) {
      const bytes = ids.flatMap((id) => [...tokenizer.bytesOf(id)]);
      expect(new TextDecoder().decode(Uint8Array.from(bytes)).trim()).toBe(texts[i]!.trim());
    }
  });
});
