/** What the manifest says of the texts that a Q-Former reads: sizes from its config, control tokens from its tokenizer. */
import { join } from 'node:path';
import type { RetrievalManifest } from '@blip2/shared/bundle-manifest';
import * as z from 'zod/mini';
import type { QFormerConfig } from '../../config/model-config.ts';
import { CheckpointError } from '../../errors.ts';

const TokenizerFile = z.looseObject({
  added_tokens: z._default(z.array(z.looseObject({ id: z.int(), content: z.string() })), []),
  model: z.looseObject({ vocab: z.record(z.string(), z.int()) }),
});

/**
 * @param tokenizer the text of tokenizer.json
 * @param folder where it comes from
 * @throws CheckpointError when it is of another kind, or lacks a control token that has a row in the embedding
 */
export function readQFormerText(
  tokenizer: string,
  { vocab_size: vocab, max_position_embeddings: max_positions }: QFormerConfig,
  folder: string,
): RetrievalManifest['text'] {
  const path = join(folder, 'tokenizer.json');
  const file = TokenizerFile.safeParse(JSON.parse(tokenizer));
  if (!file.success) throw new CheckpointError(`${path} is not a WordPiece tokenizer.`);
  const { added_tokens, model } = file.data;
  const idOf = (token: string): number => {
    const id = added_tokens.find(({ content }) => content === token)?.id ?? model.vocab[token];
    if (id === undefined) throw new CheckpointError(`${path} lacks the token ${token}.`);
    if (id >= vocab) {
      throw new CheckpointError(`${path}: ${token} is ${id}, the vocabulary has ${vocab} tokens.`);
    }
    return id;
  };
  return {
    vocab,
    max_positions,
    cls_token_id: idOf('[CLS]'),
    sep_token_id: idOf('[SEP]'),
    pad_token_id: idOf('[PAD]'),
  };
}
