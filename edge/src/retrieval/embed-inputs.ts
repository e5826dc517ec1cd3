/** One ITC vector for each of several texts and images: what dialects with embeddings share. */
import { decodeEmbeddings } from '@blip2/shared/embedding-codec';
import type { Cut } from '@blip2/shared/retrieval-ids';
import { retrievalModel } from '@blip2/shared/served-models';
import { MAX_TEXTS } from '@blip2/shared/wire';
import { type Dependencies, storeOf } from '../dependencies.ts';
import { embedImage } from '../embeddings/embed-image.ts';
import { locateEmbeddings } from '../embeddings/resolve-embeddings.ts';
import { aboutImage } from '../image/image-field.ts';
import { type ImageSource, resolveImage } from '../image/image-source.ts';
import type { RequestContext } from '../request-context.ts';
import { embedTexts } from './retrieve.ts';
import { expectFewTokens } from './token-budget.ts';
import { tokenizeTexts } from './tokenize-texts.ts';

export type EmbeddingInput =
  | { kind: 'text'; text: string }
  /** `field` is the member of the request that names it. */
  | { kind: 'image'; source: ImageSource; field: string };

export type EmbeddedInputs = {
  /** Unit vectors, [inputs][width], in their order. */
  vectors: number[][];
  /** Tokens of all texts, [CLS] and [SEP] included, and query tokens of all images. */
  tokens: number;
};

/**
 * An image has a vector for each query, and ITC compares with the best of them. Where it has to be one, it is their mean:
 * of unit length again, and comparable with the vectors of texts and of other images.
 * @param field the member of the request that holds the texts
 * @param cut the end at which a text that is too long is cut; undefined where that is an error
 * @throws ApiError `no-retrieval-model`, `prompt-too-long`, `invalid-request` for too many tokens of all texts together, and those of images and of the GPU worker
 */
export async function embedInputs(
  deps: Dependencies,
  inputs: readonly EmbeddingInput[],
  field: string,
  context: RequestContext,
  cut?: Cut,
): Promise<EmbeddedInputs> {
  const model = retrievalModel(deps.models);
  // All texts are tokenized as one list, so that an error has the index that the request gave the text.
  const texts = inputs.map((input) => (input.kind === 'text' ? input.text : ''));
  const ids = await tokenizeTexts(deps, model, { texts, field, cut }, context);
  const vectors: number[][] = Array(inputs.length);
  const ofTexts = inputs.flatMap(({ kind }, index) => (kind === 'text' ? [index] : []));
  expectFewTokens(
    ofTexts.map((index) => ids[index] ?? []),
    field,
  );
  for (let start = 0; start < ofTexts.length; start += MAX_TEXTS) {
    const batch = ofTexts.slice(start, start + MAX_TEXTS);
    const embedded = await embedTexts(
      deps,
      batch.map((index) => ids[index] ?? []),
      context,
    );
    for (const [i, index] of batch.entries()) vectors[index] = embedded[i] ?? [];
  }
  for (const [index, input] of inputs.entries()) {
    if (input.kind === 'text') continue;
    vectors[index] = await imageVector(deps, input.source, context).catch((thrown: unknown) => {
      throw aboutImage(thrown, input.field);
    });
  }
  const tokens = inputs.map(({ kind }, index) =>
    kind === 'text' ? (ids[index] ?? []).length : model.num_query_tokens,
  );
  return { vectors, tokens: tokens.reduce((sum, count) => sum + count, 0) };
}

async function imageVector(
  deps: Dependencies,
  source: ImageSource,
  context: RequestContext,
): Promise<number[]> {
  const store = storeOf(deps, 'itc');
  const input = await resolveImage(deps, source, context);
  const image = await locateEmbeddings(store, input, context);
  const { entry } = await embedImage(deps, store, image, context);
  const { numQueries, hidden, values } = decodeEmbeddings(entry.embeddings, store.shape);
  const sums = new Float64Array(hidden);
  for (const [i, value] of values.entries()) {
    const column = i % hidden;
    sums[column] = (sums[column] ?? 0) + value / numQueries;
  }
  // No vector of unit length has the direction of none.
  const length = Math.hypot(...sums) || 1;
  return Array.from(sums, (value) => value / length);
}
