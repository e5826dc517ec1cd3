/** Text ↔ token ids of a byte-level BPE tokenizer (`tokenizer.json` of OPT's family). */
import { Tokenizer } from '@huggingface/tokenizers';
import * as z from 'zod/mini';

/** The parts of `tokenizer.json` that decoding needs; encoding is the library's. */
const TokenizerFile = z.looseObject({
  added_tokens: z.array(z.object({ id: z.int(), content: z.string(), special: z.boolean() })),
  model: z.looseObject({ type: z.literal('BPE'), vocab: z.record(z.string(), z.int()) }),
  decoder: z.looseObject({ type: z.literal('ByteLevel') }),
});

export type TextTokenizer = {
  /** Ids of the text, without BOS. Control strings such as `</s>` in it are ordinary text. */
  encode(text: string): number[];
  /** UTF-8 bytes a token stands for, possibly part of a character; none for control tokens and unknown ids. */
  bytesOf(id: number): Uint8Array;
};

/**
 * @param json the text of `tokenizer.json`
 * @throws ZodError when it is not a byte-level BPE tokenizer
 */
export function createTokenizer(json: string): TextTokenizer {
  const file = TokenizerFile.parse(JSON.parse(json));
  // Without added tokens the library has no string that it turns into a control token: what users write
  // stays text. The vocabulary's own `</s>` is out of reach: the pre-tokenizer splits it before BPE.
  const library = new Tokenizer({ ...file, added_tokens: [], post_processor: null }, {});
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
