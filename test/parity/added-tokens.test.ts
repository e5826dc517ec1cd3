/** Words that a fine-tune added are found, and written, as `tokenizers` does (golden/make/added_tokens.py). */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { describe, expect, it } from 'vitest';

const golden = (name: string) =>
  JSON.parse(
    gunzipSync(
      readFileSync(new URL(`golden/tokenizers/${name}.json.gz`, import.meta.url)),
    ).toString(),
  );

type File = { model: { type: string } };
type Case = { file: File; lines: string[]; ids: number[][]; texts: string[] };
const { cases, refused } = golden('added-tokens') as {
  cases: Case[];
  refused: { file: File; token: string }[];
};

/** T5's character map is in one file, and has its place in many. */
const { precompiled_charsmap } = golden('t5').normalizer;
const tokenizerOf = (file: File) =>
  createTokenizer(
    JSON.stringify(file, (key, value) =>
      key === 'precompiled_charsmap' ? precompiled_charsmap : value,
    ),
  );

const decode = (bytesOf: (id: number) => Uint8Array, ids: readonly number[]) =>
  new TextDecoder().decode(Uint8Array.from(ids.flatMap((id) => [...bytesOf(id)])));

it('the goldens hold every flag, alone and with others, for each of the three kinds', () => {
  const seen = new Set(
    cases.flatMap(({ file }) =>
      (file as unknown as { added_tokens: Record<string, boolean>[] }).added_tokens
        .filter(({ special }) => !special)
        .map(({ single_word, lstrip, rstrip, normalized }) =>
          [file.model.type, single_word, lstrip, rstrip, normalized].join(' '),
        ),
    ),
  );
  expect(seen.size).toBe(3 * 2 ** 4);
});

describe.each(['BPE', 'Unigram', 'WordPiece'])('a tokenizer of the kind %s', (type) => {
  const own = cases.filter(({ file }) => file.model.type === type);

  it('gives the ids of `tokenizers` for texts with added tokens', () => {
    const different = own.flatMap(({ file, lines, ids }) => {
      const { encode } = tokenizerOf(file);
      return lines
        .map((line, i) => ({ line, ids: encode(line), of: ids[i], file }))
        .filter((row) => String(row.ids) !== String(row.of));
    });
    expect(different.slice(0, 3)).toEqual([]);
  });

  it('gives their text, but for white space at the ends', () => {
    const different = own.flatMap(({ file, ids, texts }) => {
      const { bytesOf } = tokenizerOf(file);
      return ids
        .map((row, i) => ({ text: decode(bytesOf, row).trim(), of: texts[i]!.trim(), file }))
        .filter(({ text, of }) => text !== of);
    });
    expect(different.slice(0, 3)).toEqual([]);
  });
});

it('the bytes of an added token are whole characters: a streamed answer has it at once', () => {
  const whole = new TextDecoder('utf-8', { fatal: true });
  for (const { file } of cases) {
    const { bytesOf } = tokenizerOf(file);
    const { added_tokens, model } = file as unknown as {
      added_tokens: { id: number; content: string; special: boolean }[];
      model: { vocab: object };
    };
    for (const { id, content, special } of added_tokens) {
      if (!special && !(content in model.vocab)) expect(whole.decode(bytesOf(id))).not.toBe('');
    }
  }
});

it('the words of a region and of a zebra crossing are found where people write them', () => {
  const file = golden('opt');
  const contents = ['<dummy>', '<region>', 'zebra crossing', 'ñandú'];
  for (const [i, content] of contents.entries()) {
    file.added_tokens.push({ id: 901 + i, content, normalized: true, special: false });
  }
  const { encode, bytesOf } = tokenizerOf(file);
  const regions = encode('a <region> of a zebra crossing');
  expect(regions).toEqual([...encode('a '), 902, ...encode(' of a '), 903]);
  expect(encode('<dummy>ñandú <region><region>')).toEqual([901, 904, 224, 902, 902]);
  expect(decode(bytesOf, regions)).toBe('a <region> of a zebra crossing');
});

it('an added token of which normalizing leaves nothing is refused by name', () => {
  expect(refused.length).toBeGreaterThan(0);
  for (const { file, token } of refused) {
    expect(() => tokenizerOf(file)).toThrow(`the added token ${JSON.stringify(token)}`);
  }
});
