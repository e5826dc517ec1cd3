/** The part of the manifests that the edge needs: written to `edge/generated/model.json` before bundling. */
import * as z from 'zod/mini';
import type { GenerativeManifest, RetrievalManifest } from './bundle-manifest.ts';
import { GenerationDefaults } from './generation-defaults.ts';
import { Precision } from './precision.ts';

const count = z.int().check(z.positive());
const tokenId = z.int().check(z.nonnegative());

/** What tells a bundle from others of its checkpoint. */
const bundled = {
  precision: Precision,
  /** Of its files together. */
  bytes: count,
  /** When it was built, in seconds since 1970; absent where nobody asks. */
  created: z.optional(count),
};

/** What a Q-Former reads of a text. */
const qformerText = {
  /** Tokens a text may have, [CLS] and [SEP] included. */
  max_positions: count,
  cls_token_id: tokenId,
  sep_token_id: tokenId,
};

/** The retrieval model. */
export const EdgeRetrieval = z.object({
  name: z.string(),
  revision: z.string(),
  preprocessing: z.string(),
  num_query_tokens: count,
  itc_hidden: count,
  ...bundled,
  ...qformerText,
});
export type EdgeRetrieval = z.infer<typeof EdgeRetrieval>;

/** The instruction, where the Q-Former of the generative model reads it. */
export const EdgeInstruction = z.object(qformerText);
export type EdgeInstruction = z.infer<typeof EdgeInstruction>;

/** What the model card says of the model, for people. */
export const ModelCard = z.object({
  /** Predicate of a sentence whose subject is the model. @example 'knows emoji scenes only' */
  summary: z.optional(z.string()),
  /** A sentence or two. */
  description: z.optional(z.string()),
  /** What to bear in mind about images that it was not trained for. */
  caution: z.optional(z.string()),
});
export type ModelCard = z.infer<typeof ModelCard>;

export const EdgeModel = z.object({
  name: z.string(),
  card: z.optional(ModelCard),
  revision: z.string(),
  preprocessing: z.string(),
  ...bundled,
  /** Query embeddings of one image: float [num_query_tokens, qformer_hidden]. */
  num_query_tokens: count,
  qformer_hidden: count,
  /** Positions a sequence may have: image positions, prompt and generated tokens. */
  max_positions: count,
  family: z.enum(['opt', 't5']),
  /** Control tokens around the text of every prompt: OPT's begins with BOS, T5's ends with EOS. */
  prompt_prefix: z.array(tokenId),
  prompt_suffix: z.array(tokenId),
  /** Tokens generated at most, by default. */
  max_new_tokens: count,
  /** How it writes where the request says nothing. */
  generation: z.optional(GenerationDefaults),
  instruction: z.optional(EdgeInstruction),
  retrieval: z.optional(EdgeRetrieval),
});
export type EdgeModel = z.infer<typeof EdgeModel>;

/**
 * The properties of the served bundles that the edge needs.
 * @param retrieval manifest of the retrieval model, where one is served
 * @param card of the generative model
 */
export function edgeModelFrom(
  manifest: GenerativeManifest,
  retrieval?: RetrievalManifest,
  card: ModelCard = {},
): EdgeModel {
  return {
    name: manifest.name,
    ...(Object.keys(card).length === 0 ? {} : { card }),
    revision: manifest.revision,
    preprocessing: manifest.preprocessing,
    ...bundledFrom(manifest),
    num_query_tokens: manifest.num_query_tokens,
    qformer_hidden: manifest.qformer_hidden,
    max_positions: manifest.decoder.max_positions,
    family: manifest.family,
    ...promptFrame(manifest),
    max_new_tokens: manifest.generation.max_new_tokens,
    ...(manifest.generation.defaults === undefined
      ? {}
      : { generation: manifest.generation.defaults }),
    ...(manifest.instruction === undefined
      ? {}
      : { instruction: qformerTextFrom(manifest.instruction) }),
    ...(retrieval === undefined ? {} : { retrieval: edgeRetrievalFrom(retrieval) }),
  };
}

function bundledFrom({ precision, files }: GenerativeManifest | RetrievalManifest) {
  return { precision, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Control tokens in front of a prompt's text, and behind it. */
export function promptFrame({
  family,
  bos_token_id,
  eos_token_ids,
}: Pick<GenerativeManifest, 'family' | 'bos_token_id' | 'eos_token_ids'>) {
  return family === 't5'
    ? { prompt_prefix: [], prompt_suffix: eos_token_ids.slice(0, 1) }
    : { prompt_prefix: [bos_token_id], prompt_suffix: [] };
}

function edgeRetrievalFrom(manifest: RetrievalManifest): EdgeRetrieval {
  return {
    name: manifest.name,
    revision: manifest.revision,
    preprocessing: manifest.preprocessing,
    ...bundledFrom(manifest),
    num_query_tokens: manifest.num_query_tokens,
    itc_hidden: manifest.itc_hidden,
    ...qformerTextFrom(manifest.text),
  };
}

function qformerTextFrom({
  max_positions,
  cls_token_id,
  sep_token_id,
}: RetrievalManifest['text']): EdgeInstruction {
  return { max_positions, cls_token_id, sep_token_id };
}

/**
 * Token ids that a prompt may have, its control tokens included: what the image positions and one generated token leave.
 */
export function maxPromptTokens(model: EdgeModel): number {
  return model.max_positions - model.num_query_tokens - 1;
}
