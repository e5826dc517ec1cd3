/** `POST /v1/embeddings` and `GET /v1/embeddings/{sha256}`. */
import * as z from 'zod/mini';
import { EmbeddingKind, MAX_TEXTS } from '../wire.ts';
import { CacheResult, ImageReference, ImageReply } from './image.ts';

const text = z.string().check(z.regex(/\S/, 'must not be empty'));

/** Members of a request other than its image. */
export const EmbeddingsOptions = z.strictObject({
  /** `query`: what text is generated from. `itc`: comparable with those of texts. */
  kind: z._default(EmbeddingKind, 'query'),
  /**
   * Of kind `query`, where the model reads an instruction along with the image: that prompt, to the letter; without it the
   * one of captions.
   */
  instruction: z.optional(text),
  /** Instead of an image, with kind `itc`: one text or several. */
  text: z.optional(z.union([text, z.array(text).check(z.minLength(1), z.maxLength(MAX_TEXTS))])),
});

export const EmbeddingsRequest = z.strictObject({
  image: z.optional(ImageReference),
  ...EmbeddingsOptions.shape,
});

export const EmbeddingsReply = z.object({
  /** Of an image: [queries][width]; unit vectors of kind `itc`. */
  embeddings: z.array(z.array(z.number())),
  kind: EmbeddingKind,
  image: ImageReply,
  model: z.string(),
  cache: CacheResult,
});
export type EmbeddingsReply = z.infer<typeof EmbeddingsReply>;

export const TextEmbeddingsReply = z.object({
  /** A unit vector for each text, [texts][width]. */
  embeddings: z.array(z.array(z.number())),
  kind: z.literal('itc'),
  model: z.string(),
});
export type TextEmbeddingsReply = z.infer<typeof TextEmbeddingsReply>;
