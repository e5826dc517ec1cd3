/** `GET /api/tags`, `GET /api/ps`, `POST /api/show` and `GET /api/version`: what is served. */
import { ApiError } from '@blip2/shared/errors';
import { answerPrompt } from '@blip2/shared/prompts';
import {
  type OllamaModelList,
  type OllamaRunningList,
  type OllamaShowReply,
  OllamaShowRequest,
  type OllamaVersion,
} from '@blip2/shared/schemas/ollama/models';
import type { GenerativeModel, RetrievalModel, ServedModels } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import { readJsonObject } from '../../http/request-body.ts';
import { type Handler, readingOf } from '../../routes/app-context.ts';
import { createdOf, servedNames } from '../model-ids.ts';
import { ollamaServedName, toOllamaName } from './model-names.ts';

/** The first version whose `/api/show` tells capabilities: clients ask for the version to know what there is. */
const API_VERSION = '0.6.4';

/** Models stay loaded; a client adds a time zone to it, and years end with 9999. */
const expires_at = '2999-01-01T00:00:00Z';

const ARCHITECTURE = 'blip2';

/** A name that is served, and the models that have it: one name may stand for both. */
type Named = {
  name: string;
  generate: GenerativeModel | undefined;
  retrieve: RetrievalModel | undefined;
};

function modelsNamed({ generate, retrieve }: ServedModels, name: string): Named {
  return {
    name,
    generate: generate.name === name ? generate : undefined,
    retrieve: retrieve?.name === name ? retrieve : undefined,
  };
}

const allModels = (models: ServedModels) =>
  servedNames(models).map((name) => modelsNamed(models, name));

export const listOllamaModels: Handler = (c, { models }) => {
  const listed = allModels(models).map((named) => ({
    ...summaryOf(named),
    modified_at: dateOf(models, named),
  }));
  return c.json({ models: listed } satisfies OllamaModelList);
};

export const listRunningModels: Handler = (c, { models }) => {
  const listed = allModels(models).map((named) => ({
    ...summaryOf(named),
    expires_at,
    context_length: contextOf(named),
  }));
  return c.json({ models: listed } satisfies OllamaRunningList);
};

export const tellOllamaVersion: Handler = (c) =>
  c.json({ version: API_VERSION } satisfies OllamaVersion);

export const showOllamaModel: Handler = async (c, deps) => {
  const { models } = deps;
  const { model, name = model } = validate(
    OllamaShowRequest,
    await readJsonObject(c.req.raw, readingOf(c, deps)),
  );
  if (name === undefined) {
    throw new ApiError('invalid-request', 'model: is required.', { field: 'model' });
  }
  const named = modelsNamed(models, ollamaServedName(models, name));
  const { generate, retrieve } = named;
  const reply: OllamaShowReply = {
    modelfile: `FROM ${named.name}`,
    parameters: generate === undefined ? '' : parametersOf(generate),
    template: generate === undefined ? '' : answerPrompt(generate.family, '{{ .Prompt }}'),
    details: detailsOf(named),
    model_info: infoOf(named),
    capabilities: [
      ...(generate === undefined ? [] : (['completion', 'vision'] as const)),
      ...(retrieve === undefined ? [] : (['embedding'] as const)),
    ],
    modified_at: dateOf(models, named),
  };
  return c.json(reply);
};

/** When a model was built. */
const dateOf = (models: ServedModels, { name }: Named): string =>
  new Date(1000 * createdOf(models, name)).toISOString();

function summaryOf(named: Named) {
  const { name, generate, retrieve } = named;
  return {
    name: toOllamaName(name),
    model: toOllamaName(name),
    size: (generate?.bytes ?? 0) + (retrieve?.bytes ?? 0),
    digest: (generate ?? retrieve)?.revision ?? '',
    details: detailsOf(named),
  };
}

function detailsOf({ generate, retrieve }: Named): OllamaShowReply['details'] {
  return {
    parent_model: '',
    format: 'onnx',
    family: ARCHITECTURE,
    families: [ARCHITECTURE, ...(generate === undefined ? [] : [generate.family])],
    parameter_size: '',
    quantization_level: ((generate ?? retrieve)?.precision ?? '').toUpperCase(),
  };
}

const contextOf = ({ generate, retrieve }: Named): number =>
  (generate ?? retrieve)?.max_positions ?? 0;

function infoOf(named: Named): OllamaShowReply['model_info'] {
  const { name, generate, retrieve } = named;
  return {
    'general.architecture': ARCHITECTURE,
    'general.name': name,
    [`${ARCHITECTURE}.context_length`]: contextOf(named),
    ...(generate && {
      [`${ARCHITECTURE}.revision`]: generate.revision,
      [`${ARCHITECTURE}.num_query_tokens`]: generate.num_query_tokens,
      [`${ARCHITECTURE}.qformer_hidden`]: generate.qformer_hidden,
    }),
    ...(retrieve && {
      [`${ARCHITECTURE}.embedding_length`]: retrieve.itc_hidden,
      [`${ARCHITECTURE}.retrieval_revision`]: retrieve.revision,
    }),
  };
}

/** What holds where a request says nothing, under Ollama's names where it has one. */
function parametersOf({ max_new_tokens, generation = {} }: GenerativeModel): string {
  const { repetition_penalty, n: _n, ...rest } = generation;
  const all = { num_predict: max_new_tokens, repeat_penalty: repetition_penalty, ...rest };
  return Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`)
    .join('\n');
}
