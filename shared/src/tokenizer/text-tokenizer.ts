/** The interface of every tokenizer: text to ids, an id to bytes. */
import type { TextRewriter } from './clean-up.ts';

/**
 * @example
 * const { encode, bytesOf } = createTokenizer(json);
 * const ids = encode(' a red dog');
 * Buffer.concat(ids.map(bytesOf)).toString(); // ' a red dog'
 */
export type TextTokenizer = {
  /** Ids of the text, without control tokens. Control strings such as `</s>` in it are ordinary text. */
  encode(text: string): number[];
  /** UTF-8 bytes a token stands for, possibly part of a character; none for control tokens and unknown ids. */
  bytesOf(id: number): Uint8Array;
  /** What else becomes of a decoded text; one for each text. Left out where nothing does. */
  createRewriter?: () => TextRewriter;
};
