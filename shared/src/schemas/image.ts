/** Images in requests and replies. */
import * as z from 'zod/mini';
import { IMAGE_ID } from '../image-id.ts';
import { ImageInfo } from '../wire.ts';

export const Sha256 = z
  .string()
  .check(z.regex(IMAGE_ID, 'must be 64 lower-case hexadecimal digits'));

/** How a JSON request names its image: exactly one of the three. */
export const ImageReference = z
  .strictObject({
    /** Base64 of either alphabet, or a `data:` URL. */
    data: z.optional(z.string()),
    /** http(s), at a public host, or a `data:` URL. */
    url: z.optional(z.string()),
    /** SHA-256 of the bytes of an image that was sent before. */
    sha256: z.optional(
      z.string().check(z.regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hexadecimal digits')),
    ),
  })
  .register(z.globalRegistry, { minProperties: 1, maxProperties: 1 });
export type ImageReference = z.infer<typeof ImageReference>;

/** The image of a request: as text alone, what it is decides: an http(s) or `data:` URL, SHA-256, else base64. */
export const RequestImage = z.union([ImageReference, z.string()]);

export const ImageReply = z.object({ sha256: Sha256, ...ImageInfo.shape });
export type ImageReply = z.infer<typeof ImageReply>;

/** Where the query embeddings came from: this location's cache, Workers KV, or computed now. */
export const CacheResult = z.enum(['colo', 'kv', 'miss']);
export type CacheResult = z.infer<typeof CacheResult>;
