/** The models that the edge serves: their sizes and their tokenizers, by the kind of their bundle. */

import { type EdgeInstruction, EdgeModel, type EdgeRetrieval } from './edge-model.ts';
import { ApiError } from './errors.ts';
import type { ModelKind } from './route.ts';
import { type Routable, route } from './route.ts';
import type { TextTokenizer } from './tokenizer/text-tokenizer.ts';
import { createTokenizer } from './tokenizer.ts';

/** The tokenizer is built on first use: a GPT-2-sized vocabulary takes longer than a Worker's start-up should. */
type WithTokenizer = { tokenizer: () => TextTokenizer };

export type GenerativeModel = Omit<EdgeModel, 'retrieval' | 'instruction'> &
  WithTokenizer & {
    /** Of a Q-Former that reads the prompt, with a tokenizer of its own. */
    instruction?: EdgeInstruction & WithTokenizer;
  };
export type RetrievalModel = EdgeRetrieval & WithTokenizer;

export type ServedModels = { generate: GenerativeModel; retrieve?: RetrievalModel };

/** The text of each model's `tokenizer.json`, and of the generative model's Q-Former; '' where there is none. */
export type TokenizerTexts = Record<ModelKind | 'instruction', string>;

/**
 * @param manifest an `EdgeModel`
 * @throws ZodError when the manifest is none
 */
export function servedModels(manifest: unknown, tokenizers: TokenizerTexts): ServedModels {
  const { retrieval, instruction, ...generative } = EdgeModel.parse(manifest);
  const tokenizerOf = (of: keyof TokenizerTexts) => lazily(() => createTokenizer(tokenizers[of]));
  return {
    generate: {
      ...generative,
      tokenizer: tokenizerOf('generate'),
      ...(instruction && {
        instruction: { ...instruction, tokenizer: tokenizerOf('instruction') },
      }),
    },
    ...(retrieval && { retrieve: { ...retrieval, tokenizer: tokenizerOf('retrieve') } }),
  };
}

/** @throws ApiError `no-retrieval-model` when none is served */
export function retrievalModel({ retrieve }: ServedModels): RetrievalModel {
  if (retrieve === undefined) throw noRetrievalModel();
  return retrieve;
}

/** The revision of the model that serves a task; '' where none does. */
export function revisionFor(models: ServedModels, task: Routable): string {
  return models[route(task)]?.revision ?? '';
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
