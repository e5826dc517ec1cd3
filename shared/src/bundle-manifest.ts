/** The manifest of a bundle, `manifest.json`: written by the model builder, read by GPU worker and edge. */
import * as z from 'zod/mini';
import { OptGraphs, RetrievalGraphs, T5Graphs } from './bundle-graphs.ts';
import { GenerationDefaults } from './generation-defaults.ts';
import { Precision } from './precision.ts';

const count = z.int().check(z.positive());
const tokenId = z.int().check(z.nonnegative());
const sha256 = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const threeChannels = z.tuple([z.number(), z.number(), z.number()]);

/** Members of every bundle's manifest. */
const common = {
  /** Version of the bundle's format; another one is built anew. */
  format: z.literal(7),
  /** For people: `model_name` of the model card, or the checkpoint folder's name. */
  name: z.string(),
  /** SHA-256 over the checkpoint's weights and config. */
  revision: sha256,
  precision: Precision,
  /** Part of the cache identity: version of the preprocessing, a hash of its parameters, bits of the image side. */
  preprocessing: z.string().check(z.regex(/^[\w.-]+$/)),
  image: z.object({
    /** Side of the square input, pixels. */
    size: count,
    /** Side of a patch, pixels. */
    patch: count,
    mean: threeChannels,
    std: threeChannels,
    /** Filter of the resize to that size, as Pillow computes it. */
    resample: z.enum(['lanczos', 'bilinear', 'bicubic', 'box', 'hamming']),
    /**
     * What images are resized to before their middle of `size` is cut out; the other side of `shortest_edge` keeps the
     * aspect. Left out where images are resized straight to the square.
     */
    resize: z.optional(
      z.union([z.object({ height: count, width: count }), z.object({ shortest_edge: count })]),
    ),
  }),
  /** Tokens of the image encoder: patches and the class token. */
  image_tokens: count,
  vision_hidden: count,
  num_query_tokens: count,
  qformer_hidden: count,
  /** License named by the model card, and the card's path in the bundle. */
  license: z.optional(z.string()),
  model_card: z.optional(z.string()),
  /** SHA-256 over the JSON of all other members, in their order and without spaces. */
  digest: sha256,
  /** Every other file of the bundle. */
  files: z.array(z.object({ path: z.string(), bytes: z.int().check(z.nonnegative()), sha256 })),
};

/** The vocabulary of a Q-Former that reads text, and the control tokens around each text. */
const QFormerText = z.object({
  vocab: count,
  /** Positions a text may have, [CLS] and [SEP] included. */
  max_positions: count,
  cls_token_id: tokenId,
  sep_token_id: tokenId,
  pad_token_id: tokenId,
});

const Decoder = z.object({
  layers: count,
  heads: count,
  /** Width of a head in the KV cache: the checkpoint's, rounded up to a multiple of 8. */
  head_dim: count,
  hidden: count,
  vocab: count,
  /**
   * Family `opt`: positions a sequence may have, image positions included. Family `t5`, whose positions are
   * relative: the same limit, for encoder and decoder each.
   */
  max_positions: count,
  /** Placeholder in the prompt for one image position. */
  image_token_id: tokenId,
});

/** What tells images that a model was trained on from others (`outside-training.ts`). */
export const OutsideTraining = z.object({
  /** Of the components of the mean over an image's query embeddings: [qformer_hidden]. */
  weights: z.array(z.number()).check(z.minLength(1)),
  /** An image whose weighted sum is above is unlike all that the model was trained on. */
  threshold: z.number(),
});
export type OutsideTraining = z.infer<typeof OutsideTraining>;

const generate = {
  ...common,
  kind: z.literal('generate'),
  decoder: Decoder,
  /** Of InstructBLIP, whose Q-Former reads the prompt too; without it query embeddings depend on the image alone. */
  instruction: z.optional(QFormerText),
  bos_token_id: tokenId,
  /** Any of these ends a generation. */
  eos_token_ids: z.array(tokenId).check(z.minLength(1)),
  pad_token_id: tokenId,
  /** Defaults of a generation, for what a request does not set. */
  generation: z.object({ max_new_tokens: count, defaults: z.optional(GenerationDefaults) }),
  /** Of checkpoints that come with it; without it no image is warned about. */
  outside_training: z.optional(OutsideTraining),
};

/** Decoder-only. */
const OptManifest = z.object({ ...generate, family: z.literal('opt'), graphs: OptGraphs });
export type OptManifest = z.infer<typeof OptManifest>;

/** Encoder-decoder: FlanT5. */
const T5Manifest = z.object({
  ...generate,
  family: z.literal('t5'),
  /** What the decoder reads first. */
  decoder_start_token_id: tokenId,
  graphs: T5Graphs,
});
export type T5Manifest = z.infer<typeof T5Manifest>;

/** The bundle of a generative model: `Blip2ForConditionalGeneration`, `InstructBlipForConditionalGeneration`. */
export type GenerativeManifest = OptManifest | T5Manifest;

/** The bundle of a retrieval model: `Blip2ForImageTextRetrieval`. */
const RetrievalManifest = z.object({
  ...common,
  kind: z.literal('retrieve'),
  family: z.literal('qformer'),
  text: QFormerText,
  /** Width of the ITC embeddings of a query and of a text. */
  itc_hidden: count,
  graphs: RetrievalGraphs,
});
export type RetrievalManifest = z.infer<typeof RetrievalManifest>;

export const BundleManifest = z.discriminatedUnion('family', [
  OptManifest,
  T5Manifest,
  RetrievalManifest,
]);
export type BundleManifest = z.infer<typeof BundleManifest>;
