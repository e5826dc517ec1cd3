/** Token ids → text, piece by piece: whole characters only, without white space at either end. */

export type Detokenizer = {
  /** The text that this token completes; '' while a character or the white space before it is open. */
  push(id: number): string;
  /** What is left at the end: U+FFFD for a character that never got its last byte. */
  end(): string;
};

/**
 * All pieces together are `trim()` of the decoded whole, however the tokens cut its characters.
 * @param bytesOf UTF-8 bytes of a token
 */
export function createDetokenizer(bytesOf: (id: number) => Uint8Array): Detokenizer {
  // In stream mode the decoder holds back a sequence until its last byte has come.
  const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });
  let begun = false;
  let space = '';
  const take = (text: string): string => {
    const visible = begun ? space + text : text.trimStart();
    const piece = visible.trimEnd();
    // White space at the end may be the text's end: it waits for something to follow.
    space = piece === '' && begun ? visible : visible.slice(piece.length);
    begun ||= piece !== '';
    return piece;
  };
  return {
    push: (id) => take(decoder.decode(bytesOf(id), { stream: true })),
    end: () => take(decoder.decode()),
  };
}
