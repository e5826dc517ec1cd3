/** Control tokens: no text of a user may be encoded as one of them. */
import * as z from 'zod/mini';

export const AddedTokens = z._default(
  z.array(z.looseObject({ id: z.int(), content: z.string(), special: z.boolean() })),
  [],
);
export type AddedTokens = z.infer<typeof AddedTokens>;

/** Half a surrogate pair: no well-formed text holds it, and no other is encoded. */
const HIDDEN = '\ud800';

/** Renames the pieces of a vocabulary that are control tokens, so that no text is encoded as one. */
export function hideControls(added: AddedTokens): (piece: string) => string {
  const controls = new Set(added.filter(({ special }) => special).map(({ content }) => content));
  return (piece) => (controls.has(piece) ? HIDDEN + piece : piece);
}
