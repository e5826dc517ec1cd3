/** The models that the edge serves: their sizes and their tokenizers, by the kind of their bundle. */
import { EdgeModel, type EdgeRetrieval } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';
import type { ModelKind } from '@blip2/shared/route';
import { createTokenizer } from '@blip2/shared/tokenizer';
import type { TextTokenizer } from '@blip2/shared/tokenizer/text-tokenizer';

/** The tokenizer is built on first use: a GPT-2-sized vocabulary takes longer than a Worker's start-up should. */
type WithTokenizer = { tokenizer: () => TextTokenizer };

type GenerativeModel = Omit<EdgeModel, 'retrieval'> & WithTokenizer;
export type RetrievalModel = EdgeRetrieval & WithTokenizer;

export type ServedModels = { generate: GenerativeModel; retrieve?: RetrievalModel };

/**
 * @param manifest an `EdgeModel`
 * @param tokenizers the text of each model's `tokenizer.json`
 * @throws ZodError when the manifest is none
 */
export function servedModels(
  manifest: unknown,
  tokenizers: Record<ModelKind, string>,
): ServedModels {
  const { retrieval, ...generative } = EdgeModel.parse(manifest);
  const tokenizerOf = (kind: ModelKind) => lazily(() => createTokenizer(tokenizers[kind]));
  return {
    generate: { ...generative, tokenizer: tokenizerOf('generate') },
    ...(retrieval && { retrieve: { ...retrieval, tokenizer: tokenizerOf('retrieve') } }),
  };
}

/** @throws ApiError `no-retrieval-model` when none is served */
export function retrievalModel({ retrieve }: ServedModels): RetrievalModel {
  if (retrieve === undefined) throw noRetrievalModel();
  return retrieve;
}

export function noRetrievalModel(): ApiError {
  return new ApiError(
    'no-retrieval-model',
    'Only a generative model is served here; BLIP2_RETRIEVAL_CHECKPOINT adds a retrieval model.',
  );
}

function lazily<T>(build: () => T): () => T {
  let built: T | undefined;
  return () => {
    built ??= build();
    return built;
  };
}
