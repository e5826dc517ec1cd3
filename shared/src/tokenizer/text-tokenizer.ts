/** What a tokenizer does for the rest of the house: text to ids, an id to bytes. */

/**
 * @example
 * const { encode, bytesOf } = createTokenizer(json);
 * encode(' a red dog');                          // [10, 1275, 2335], for OPT's vocabulary
 * new TextDecoder().decode(bytesOf(1275));       // ' red'
 */
export type TextTokenizer = {
  /** Ids of the text, without control tokens. Control strings such as `</s>` in it are ordinary text. */
  encode(text: string): number[];
  /** UTF-8 bytes a token stands for, possibly part of a character; none for control tokens and unknown ids. */
  bytesOf(id: number): Uint8Array;
};
