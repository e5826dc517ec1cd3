/** A tokenizer.json as the builder reads it: its tokens and their ids; the rest it hands on. */
import { AddedToken } from '@blip2/shared/tokenizer/tokenizer-file';
import * as z from 'zod/mini';

/** Pieces by id (Unigram, with their scores), or ids by piece. */
const Vocabulary = z.union([
  z.array(z.tuple([z.string(), z.number()])),
  z.record(z.string(), z.int()),
]);

export const TokenizerJson = z.looseObject({
  added_tokens: z._default(z.array(AddedToken), []),
  model: z.looseObject({
    type: z.enum(['BPE', 'Unigram', 'WordPiece']),
    vocab: Vocabulary,
  }),
});
export type TokenizerJson = z.infer<typeof TokenizerJson>;

/** Ids of the vocabulary's pieces, the last of those that read the same, and the first id behind them. */
export function vocabularyOf({ model: { vocab } }: TokenizerJson): {
  ids: ReadonlyMap<string, number>;
  nextId: number;
} {
  const pieces: [string, number][] = Array.isArray(vocab)
    ? vocab.map(([piece], id) => [piece, id])
    : Object.entries(vocab);
  return { ids: new Map(pieces), nextId: pieces.length };
}
