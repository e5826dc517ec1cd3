/** The part of a bundle's manifest that describes its graphs: their files, inputs and outputs, and some of their nodes. */
import * as z from 'zod/mini';

/** The name of a tensor; the names of one for each layer of the decoder. */
const tensor = z.string();
const tensorOfEachLayer = z.array(z.string()).check(z.minLength(1));

/** By role. */
export type TensorNames = Record<string, string | string[]>;

/** What all graphs have in common. */
export type BundleGraph = {
  model: string;
  weights: string;
  inputs: TensorNames;
  outputs: TensorNames;
  nodes: z.infer<typeof NodeNames>;
};

/** Names of the nodes that not every execution provider computes, or computes right. */
const NodeNames = z.object({
  /** All of attention in one kernel. */
  fused_attention: z.array(z.string()),
  /** Look-ups in a table of 16-bit values, and the casts behind them. */
  half_lookups: z.array(z.string()),
});

/**
 * One graph of a bundle. The members of `inputs` and `outputs` are roles, their values the names of the graph's tensors:
 * code that runs a graph asks for roles, and only the builder knows the names.
 */
const graphOf = <Inputs extends z.ZodMiniType, Outputs extends z.ZodMiniType>(
  inputs: Inputs,
  outputs: Outputs,
) =>
  z.object({
    /** Files of the bundle: the ONNX model, and the weights that it refers to. */
    model: z.string(),
    weights: z.string(),
    inputs,
    outputs,
    nodes: NodeNames,
  });

const VisionGraph = graphOf(
  z.object({
    /** float32 [batch, 3, size, size], normalized */
    pixels: tensor,
  }),
  z.object({
    /** float32 [batch, image_tokens, vision_hidden] */
    image_features: tensor,
  }),
);

const imageFeatures = z.object({
  /** float32 [batch, image_tokens, vision_hidden] */
  image_features: tensor,
});
const queryEmbeddings = {
  /** float32 [batch, num_query_tokens, qformer_hidden] */
  query_embeddings: tensor,
};

/** A prompt or a decode step of OPT, over a cache that is only read; builder/README.md has the rules. */
const OptDecoderGraph = graphOf(
  z.object({
    /** float32 [batch, image positions, qformer_hidden] */
    query_embeddings: tensor,
    /** int64 [batch, text positions] */
    input_ids: tensor,
    /** int64 [batch, positions] */
    position_ids: tensor,
    /** int64 [batch, n]: positions of this run that the last layer continues with */
    last_positions: tensor,
    /** float32 [batch, heads, cache, head_dim] */
    past_keys: tensorOfEachLayer,
    past_values: tensorOfEachLayer,
    /** int32 [batch]: cached positions + positions of this run − 1 */
    seqlens_k: tensor,
    /** int32 [1]: the longest row's cached positions + positions of this run */
    total_sequence_length: tensor,
  }),
  z.object({
    /** float32 [batch, vocab] */
    logits: tensor,
    /** float32 [batch, positions, 2 × heads × head_dim] */
    new_keys_values: tensorOfEachLayer,
  }),
);

const T5EncoderGraph = graphOf(
  z.object({
    /** float32 [batch, image positions, qformer_hidden] */
    query_embeddings: tensor,
    /** int64 [batch, text positions] */
    input_ids: tensor,
    /** int64 [batch]: image positions and text of each row */
    lengths: tensor,
  }),
  z.object({
    /** float32 [batch, positions, 2 × heads × head_dim] */
    cross_keys_values: tensorOfEachLayer,
  }),
);

/** A decode step of T5. */
const T5DecoderGraph = graphOf(
  z.object({
    /** int64 [batch, 1] */
    input_ids: tensor,
    position_ids: tensor,
    /** int64 [batch]: zeros */
    last_positions: tensor,
    /** float32 [batch, heads, cache, head_dim] */
    past_keys: tensorOfEachLayer,
    past_values: tensorOfEachLayer,
    /** int32 [batch]: cached positions */
    seqlens_k: tensor,
    /** float32 [batch, heads, encoder positions, head_dim] */
    cross_keys: tensorOfEachLayer,
    cross_values: tensorOfEachLayer,
    /** int32 [batch]: encoder positions */
    cross_lengths: tensor,
  }),
  z.object({
    /** float32 [batch, vocab] */
    logits: tensor,
    /** float32 [batch, 1, 2 × heads × head_dim] */
    new_keys_values: tensorOfEachLayer,
  }),
);

const texts = {
  /** int64 [batch, tokens], padded on the right */
  input_ids: tensor,
  /** int64 [batch]: tokens of each text */
  lengths: tensor,
};

/** Query embeddings of an image alone, or for what each of several instructions asks about one image. */
const QFormerGraph = z.union([
  graphOf(
    z.object({
      /** float32 [1, image_tokens, vision_hidden] */
      image_features: tensor,
      ...texts,
    }),
    z.object(queryEmbeddings),
  ),
  graphOf(imageFeatures, z.object(queryEmbeddings)),
]);

const imageGraphs = { vision: VisionGraph, qformer: QFormerGraph };
export const OptGraphs = z.object({ ...imageGraphs, decoder: OptDecoderGraph });
export const T5Graphs = z.object({
  ...imageGraphs,
  encoder: T5EncoderGraph,
  decoder: T5DecoderGraph,
});
export const RetrievalGraphs = z.object({
  vision: VisionGraph,
  qformer: graphOf(
    imageFeatures,
    z.object({
      ...queryEmbeddings,
      /** float32 [batch, num_query_tokens, itc_hidden], unit vectors */
      itc_embeddings: tensor,
    }),
  ),
  text: graphOf(
    z.object(texts),
    z.object({
      /** float32 [batch, itc_hidden], unit vectors */
      itc_embeddings: tensor,
    }),
  ),
  itm: graphOf(
    z.object({
      /** float32 [1, image_tokens, vision_hidden]: one image for all texts */
      image_features: tensor,
      ...texts,
    }),
    z.object({
      /** float32 [batch, 2]: no match, match */
      itm_logits: tensor,
    }),
  ),
});
