/** From token ids to text, delta by delta: whole characters only, without white space at either end. */
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts';

export type Detokenizer = {
  /** The text that this token completes; '' while a character or the white space before it is open. */
  push(id: number): string;
  /** The rest of the text: U+FFFD for a character that never got its last byte. */
  end(): string;
};

/** What a tokenizer has for the way from ids to text. */
export type Decoding = Pick<TextTokenizer, 'bytesOf' | 'createRewriter'>;

/**
 * All deltas together are `trim()` of the decoded whole, however the tokens cut its characters.
 * @example
 * // Tokens: ' caf', the first byte of 'é', its second byte.
 * detokenizer.push(1); // 'caf'
 * detokenizer.push(2); // ''
 * detokenizer.push(3); // 'é'
 */
export function createDetokenizer({ bytesOf, createRewriter }: Decoding): Detokenizer {
  // In stream mode the decoder holds back a sequence until its last byte has come.
  const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });
  const rewriter = createRewriter?.();
  const rewritten = (text: string) => rewriter?.push(text) ?? text;
  let hasBegun = false;
  let space = '';
  const visible = (decoded: string): string => {
    const text = hasBegun ? decoded : decoded.trimStart();
    const end = text.trimEnd();
    // White space at the end may be the text's end: it waits for something to follow. What waits is not read again.
    if (end === '') {
      space += text;
      return '';
    }
    const delta = space + end;
    space = text.slice(end.length);
    hasBegun = true;
    return delta;
  };
  return {
    push: (id) => visible(rewritten(decoder.decode(bytesOf(id), { stream: true }))),
    end: () => visible(rewritten(decoder.decode()) + (rewriter?.end() ?? '')),
  };
}
