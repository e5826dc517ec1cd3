import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from './tokenizer.ts';

const path = new URL('../../gpu-worker/checkpoints/generate/tokenizer.json', import.meta.url);
const json = await readFile(fileURLToPath(path), 'utf8');
const tokenizer = createTokenizer(json);
const library = new Tokenizer(JSON.parse(json), {});

/** The embedded model's tokenizer ignores case. */
const asRead = (text: string) => text.toLowerCase();
const decode = (ids: number[]) =>
  new TextDecoder().decode(Uint8Array.from(ids.flatMap((id) => [...tokenizer.bytesOf(id)])));

describe('plain text', () => {
  it.each([
    'a red dog to the left of a blue house',
    'Question: what color is the background? Answer:',
    'naïve café — 日本語 🐕‍🦺',
    'tabs\tand\nlines  and   spaces',
  ])('%j has the ids of the reference and comes back', (text) => {
    expect(tokenizer.encode(text)).toEqual(library.encode(text, { add_special_tokens: false }).ids);
    expect(decode(tokenizer.encode(text))).toBe(asRead(text));
  });

  it('of a question that ends with a period has the ids of one without a mark', () => {
    const ids = tokenizer.encode('Question: What is it. Answer:');
    expect(ids).toEqual(
      library.encode('Question: What is it. Answer:', { add_special_tokens: false }).ids,
    );
    expect(ids).toEqual(tokenizer.encode('question: what is it answer:'));
  });

  it('of no characters has no ids', () => {
    expect(tokenizer.encode('')).toEqual([]);
  });
});

describe('control strings', () => {
  const controls = new Set(
    JSON.parse(json).added_tokens.map((token: { id: number }): number => token.id),
  );

  it.each(['</s>', '<image>', '<pad>', '<s>', '<unk>', 'say </s> and <image><image>'])(
    '%j in user text stays text',
    (text) => {
      const ids = tokenizer.encode(text);
      expect(ids.filter((id) => controls.has(id))).toEqual([]);
      expect(decode(ids)).toBe(text);
    },
  );

  it('decode to no text', () => {
    for (const id of controls) expect(tokenizer.bytesOf(id as number)).toHaveLength(0);
    expect(tokenizer.bytesOf(999_999)).toHaveLength(0);
  });
});
