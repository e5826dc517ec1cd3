/** Byte-level BPE of GPT-2's kind (OPT). */
import { Tokenizer } from '@huggingface/tokenizers';
import * as z from 'zod/mini';
import { AddedTokens } from './added-tokens.ts';
import type { TextTokenizer } from './text-tokenizer.ts';

/** The parts of `tokenizer.json` that decoding needs; encoding is the library's. */
const BpeFile = z.looseObject({
  added_tokens: AddedTokens,
  model: z.looseObject({ type: z.literal('BPE'), vocab: z.record(z.string(), z.int()) }),
  pre_tokenizer: z.looseObject({
    type: z.literal('ByteLevel'),
    add_prefix_space: z._default(z.boolean(), false),
  }),
  decoder: z.looseObject({ type: z.literal('ByteLevel') }),
});

/**
 * GPT-2's pattern, written out because `\\s` of JavaScript is not Unicode's white space: it has U+FEFF and lacks
 * U+0085, and the library's ids were others for such lines.
 */
const WORDS =
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|" +
  '\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+';

/** @throws ZodError when the file is of another kind */
export function byteLevelBpe(json: unknown): TextTokenizer {
  const file = BpeFile.parse(json);
  const { add_prefix_space } = file.pre_tokenizer;
  const byteLevel = { type: 'ByteLevel', add_prefix_space, use_regex: false };
  const split = { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Isolated', invert: false };
  // Without added tokens the library has no string that it turns into a control token: what users write
  // stays text. The vocabulary's own `</s>` is out of reach: the pre-tokenizer splits it before BPE.
  const plain = {
    ...file,
    added_tokens: [],
    post_processor: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [split, byteLevel] },
  };
  const library = new Tokenizer(plain, {});
  const controls = new Set(file.added_tokens.filter(({ special }) => special).map(({ id }) => id));
  const toBytes = byteLevelDecoder();
  const pieces = new Map<number, Uint8Array>();
  for (const [piece, id] of Object.entries(file.model.vocab)) {
    if (!controls.has(id)) pieces.set(id, toBytes(piece));
  }
  for (const { id, content, special } of file.added_tokens) {
    if (!special) pieces.set(id, new TextEncoder().encode(content));
  }
  const nothing = new Uint8Array();
  return {
    encode: (text) => (text === '' ? [] : library.encode(text, { add_special_tokens: false }).ids),
    bytesOf: (id) => pieces.get(id) ?? nothing,
  };
}

/**
 * GPT-2's table backwards: each byte is written as a printable character, its own where it has one, else
 * one from U+0100 on.
 */
function byteLevelDecoder(): (piece: string) => Uint8Array {
  const byteOf = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    byteOf.set(String.fromCodePoint(printable ? byte : next++), byte);
  }
  return (piece) => Uint8Array.from([...piece], (character) => byteOf.get(character) ?? 0x3f);
}
