/** `POST /v1/embeddings`, `GET /v1/embeddings/{sha256}` and `POST /v1/embeddings/lookup`. */
import * as z from 'zod/mini';
import { Problem } from '../errors.ts';
import { EmbeddingKind, ImageInfo, MAX_TEXTS } from '../wire.ts';
import { described } from './described.ts';
import { ImageReply, RequestImage, Sha256, ShownCacheResult } from './image.ts';

const text = () => z.string().check(z.regex(/\S/, 'must not be empty'));

const kind = described(
  z._default(EmbeddingKind, 'query'),
  '`query`: the query embeddings that text is generated from. `itc`: those of image-text contrast, unit vectors that are comparable with those of texts.',
  'itc',
);

const instruction = described(
  z.optional(text()),
  'Of kind `query`, where the model reads an instruction along with the image (InstructBLIP): that prompt, to the letter. Without it, the one of captions.',
  'Write a short description for the image.',
);

/** Members of a request other than its image. */
export const EmbeddingsOptions = z.strictObject({
  kind,
  instruction,
  text: described(
    z.optional(z.union([text(), z.array(text()).check(z.minLength(1), z.maxLength(MAX_TEXTS))])),
    'Instead of an image, and with `kind` `itc`: one text or several.',
    'a pizza above an octopus',
  ),
});

export const EmbeddingsRequest = described(
  z.strictObject({ image: z.optional(RequestImage), ...EmbeddingsOptions.shape }),
  'What to embed: an image, or texts.',
);

/** Parameters of `GET /v1/embeddings/{sha256}`. */
export const CachedEmbeddingsPath = z.strictObject({ sha256: Sha256 });
export const CachedEmbeddingsQuery = z.strictObject({ kind, instruction });

/** Images that one request may look up. */
export const MAX_LOOKUPS = 1000;

/** Hashes come first: what is wrong with one of them is named by its place. */
export const EmbeddingsLookupRequest = described(
  z.strictObject({
    sha256: described(
      z
        .array(z.string().check(z.regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hexadecimal digits')))
        .check(z.minLength(1), z.maxLength(MAX_LOOKUPS)),
      'The hashes of images that were sent before, each once.',
      ['f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f'],
    ),
    kind,
    instruction,
    dtype: described(
      z.optional(z.enum(['float16', 'float32'])),
      'The type of the values; without it, the one in which they are cached.',
      'float16',
    ),
  }),
  'Images whose cached embeddings are wanted.',
);
export type EmbeddingsLookupRequest = z.infer<typeof EmbeddingsLookupRequest>;

const vectors = (description: string, example: number[][]) =>
  described(z.array(z.array(z.number())), description, example);
const model = described(
  z.string(),
  'Name of the model that the embeddings are of.',
  'blip2-scenes',
);

export const EmbeddingsReply = described(
  z.object({
    embeddings: vectors('[queries][width]: a vector for each query; unit vectors of kind `itc`.', [
      [0.25, -1.5, 0.75],
      [1.25, 0.5, -0.125],
    ]),
    kind: described(EmbeddingKind, 'Kind of the embeddings.', 'query'),
    image: ImageReply,
    model,
    cache: ShownCacheResult,
  }),
  'The embeddings of an image.',
);
export type EmbeddingsReply = z.infer<typeof EmbeddingsReply>;

export const TextEmbeddingsReply = described(
  z.object({
    embeddings: vectors('[texts][width]: a unit vector for each text, in their order.', [
      [0.6, 0.8, 0],
    ]),
    kind: described(z.literal('itc'), 'Kind of the embeddings.'),
    model,
  }),
  'The embeddings of texts.',
);
export type TextEmbeddingsReply = z.infer<typeof TextEmbeddingsReply>;

/** A line of the reply to a look-up. Members in which they differ are absent from the others. */
export const EmbeddingsLookupLine = described(
  z.union([
    described(
      z.object({
        sha256: Sha256,
        embeddings: vectors('[queries][width]: a vector for each query.', [[0.25, -1.5, 0.75]]),
        image: described(ImageInfo, 'Size and format of the image.'),
      }),
      'The cached embeddings of an image.',
    ),
    described(
      z.object({
        sha256: Sha256,
        missing: described(z.literal(true), 'Nothing is cached: send the image itself.'),
      }),
      'An image of which nothing is cached.',
    ),
    described(
      z.object({ error: described(Problem, 'Why the rest cannot be looked up now.') }),
      'The last line of a reply that breaks off.',
    ),
  ]),
  'What a look-up found of one image: a line for each, in the order of the request.',
);
export type EmbeddingsLookupLine = z.infer<typeof EmbeddingsLookupLine>;
