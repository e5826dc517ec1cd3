/** Text ↔ token ids of the three kinds of tokenizers that BLIP-2's parts have, from their `tokenizer.json`. */
import * as z from 'zod/mini';
import { byteLevelBpe } from './tokenizer/byte-level-bpe.ts';
import type { TextTokenizer } from './tokenizer/text-tokenizer.ts';
import { unigram } from './tokenizer/unigram.ts';
import { wordPiece } from './tokenizer/word-piece.ts';

const Kind = z.looseObject({ model: z.looseObject({ type: z.optional(z.string()) }) });

const KINDS = new Map<string, (file: unknown) => TextTokenizer>([
  ['BPE', byteLevelBpe],
  ['Unigram', unigram],
  ['WordPiece', wordPiece],
]);

/**
 * Byte-level BPE (OPT), Unigram (FlanT5) or WordPiece (the Q-Former's text side), with the ids that `tokenizers` gives.
 * @param json the text of `tokenizer.json`
 * @throws Error when it is none of the three, naming every key whose value is not supported
 */
export function createTokenizer(json: string): TextTokenizer & { type: string } {
  const file: unknown = JSON.parse(json);
  const type = Kind.safeParse(file).data?.model.type;
  const make = type === undefined ? undefined : KINDS.get(type);
  if (type === undefined || make === undefined) {
    throw new Error(`tokenizer.json: a model of type ${type} is not supported`);
  }
  const { encode, ...decoding } = make(file);
  // Half a surrogate pair is no character: it becomes U+FFFD, as it would in UTF-8.
  return { type, encode: (text) => encode(text.toWellFormed()), ...decoding };
}
