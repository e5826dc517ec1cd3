/** Tokens that stand for no text: what users write may never become one of them. */
import * as z from 'zod/mini';

export const AddedTokens = z._default(
  z.array(z.looseObject({ id: z.int(), content: z.string(), special: z.boolean() })),
  [],
);
export type AddedTokens = z.infer<typeof AddedTokens>;

/** Half a surrogate pair: no well-formed text holds it, and no other is encoded. */
const HIDDEN = '\ud800';

/** Names of pieces that text must not reach, changed so that it cannot. */
export function hideControls(added: AddedTokens): (piece: string) => string {
  const controls = new Set(added.filter(({ special }) => special).map(({ content }) => content));
  return (piece) => (controls.has(piece) ? HIDDEN + piece : piece);
}
