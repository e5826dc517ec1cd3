/** Images in requests and replies. */
import * as z from 'zod/mini';
import { IMAGE_ID } from '../image-id.ts';
import { ImageInfo } from '../wire.ts';
import { described, describedMembers } from './described.ts';

export const Sha256 = described(
  z.string().check(z.regex(IMAGE_ID, 'must be 64 lower-case hexadecimal digits')),
  'SHA-256 of the bytes of the image as they were sent, in lower-case hexadecimal digits: what `sha256sum FILE` prints.',
  'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f',
);

/** How a JSON request names its image: exactly one of the three. */
export const ImageReference = described(
  z
    .strictObject({
      data: described(
        z.optional(z.string()),
        'The bytes of the image as base64 of either alphabet, or a `data:` URL.',
      ),
      url: described(
        z.optional(z.string()),
        'Where the image is fetched from: http or https, at a public host; or a `data:` URL.',
        'https://images.example.org/pizza-and-octopus.webp',
      ),
      sha256: described(
        z.optional(z.string().check(z.regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hexadecimal digits'))),
        'SHA-256 of the bytes of an image that was sent before: what `sha256sum FILE` prints.',
        'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f',
      ),
    })
    .register(z.globalRegistry, { minProperties: 1, maxProperties: 1 }),
  'Names the image by exactly one of its bytes, its URL, or the hash of an image that was sent before.',
);
export type ImageReference = z.infer<typeof ImageReference>;

/** The image of a request: as text alone, what it is decides: an http(s) or `data:` URL, SHA-256, else base64. */
export const RequestImage = described(
  z.union([ImageReference, z.string()]),
  'The image: an object that names it, or a text, which is an http(s) or `data:` URL, a SHA-256, or else base64.',
);

export const ImageReply = described(
  z.object({
    sha256: Sha256,
    ...describedMembers(ImageInfo.shape, {
      width: ['Width in pixels, upright: after the orientation that EXIF gives.', 352],
      height: ['Height in pixels, upright.', 352],
      format: ['Format of the file, read from its bytes.', 'webp'],
      frames: [
        'How many frames an animation has; the first was read. Absent for a still image.',
        12,
      ],
      outside_training: [
        'True of an image that is unlike all that the model was trained on: what is said of it is a guess. Absent of other images, and where the checkpoint cannot tell.',
        true,
      ],
    }),
  }),
  'The image: its id, by which later requests may name it, and how it was decoded.',
);
export type ImageReply = z.infer<typeof ImageReply>;

/** Where the query embeddings came from: this location's cache, Workers KV, or computed now. */
const CacheResult = z.enum(['colo', 'kv', 'miss']);
export type CacheResult = z.infer<typeof CacheResult>;

/** The same of a generation: or the whole reply was made before. */
export type ReplyCacheResult = CacheResult | 'reply';

/** As replies have it. */
export const ShownCacheResult = described(
  z.optional(CacheResult),
  "Where the embeddings of the image came from: `colo`, this location's cache; `kv`, Workers KV; `miss`, computed now. Absent where the operator does not show it (`SHOW_CACHE`).",
  'miss',
);

/** As generated replies have it. */
export const ShownReplyCacheResult = described(
  z.optional(z.enum([...CacheResult.options, 'reply'])),
  "What was cached: `reply`, the whole reply, which is the one that the same request got before; else where the embeddings of the image came from: `colo`, this location's cache; `kv`, Workers KV; `miss`, computed now. Absent where the operator does not show it (`SHOW_CACHE`).",
  'miss',
);
