/** `POST /v1/embeddings` and `GET /v1/embeddings/{sha256}`. */
import * as z from 'zod/mini';
import { CacheResult, ImageReference, ImageReply } from './image.ts';

export const EmbeddingsRequest = z.strictObject({ image: ImageReference });

export const EmbeddingsReply = z.object({
  /** Query embeddings, [queries][hidden]. */
  embeddings: z.array(z.array(z.number())),
  image: ImageReply,
  model: z.string(),
  cache: CacheResult,
});
export type EmbeddingsReply = z.infer<typeof EmbeddingsReply>;
