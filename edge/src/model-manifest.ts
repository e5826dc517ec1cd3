/** The models this edge was bundled for: their numbers and their tokenizers. */
import { EdgeModel, type EdgeRetrieval } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';
import { createTokenizer } from '@blip2/shared/tokenizer';
import type { TextTokenizer } from '@blip2/shared/tokenizer/text-tokenizer';
import modelJson from '../generated/model.json';
import retrievalTokenizerJson from '../generated/retrieval-tokenizer.json.txt';
import tokenizerJson from '../generated/tokenizer.json.txt';

export const model: EdgeModel = EdgeModel.parse(modelJson);

/** Built on first use: a GPT-2-sized vocabulary takes longer than a Worker's start-up should. */
export const tokenizer = lazily(() => createTokenizer(tokenizerJson));

/** Of the model that compares. */
export const retrievalTokenizer = lazily(() => createTokenizer(retrievalTokenizerJson));

/** @throws ApiError `no-retrieval-model` when none is served */
export function retrievalModel(): EdgeRetrieval {
  if (model.retrieval !== undefined) return model.retrieval;
  throw new ApiError(
    'no-retrieval-model',
    'Only a model that writes is served here: set BLIP2_RETRIEVAL_CHECKPOINT.',
  );
}

function lazily(build: () => TextTokenizer): () => TextTokenizer {
  let built: TextTokenizer | undefined;
  return () => {
    built ??= build();
    return built;
  };
}
