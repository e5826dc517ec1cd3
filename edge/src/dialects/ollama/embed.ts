/** `POST /api/embed` and `POST /api/embeddings`: ITC's embeddings of texts and images. */
import {
  type OllamaEmbeddingsReply,
  OllamaEmbeddingsRequest,
  type OllamaEmbedReply,
  OllamaEmbedRequest,
} from '@blip2/shared/schemas/ollama/embed';
import { retrievalModel } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import { readJsonObject } from '../../http/request-body.ts';
import { embedInputs } from '../../retrieval/embed-inputs.ts';
import { type Handler, readingOf, requestContextOf } from '../../routes/app-context.ts';
import { largeJson, numbersCost } from '../../routes/large-reply.ts';
import { embeddingInputs } from '../embedding-inputs.ts';
import { refuse } from '../refuse.ts';
import { expectOllamaModel } from './model-names.ts';

const NOT_STORED = { 'cache-control': 'no-store' };

export const embedOnOllama: Handler = async (c, deps) => {
  const body = validate(OllamaEmbedRequest, await readJsonObject(c.req.raw, readingOf(c, deps)));
  const { model, input, truncate = true } = body;
  const { name, itc_hidden } = retrievalModel(deps.models);
  expectOllamaModel(deps.models, model, 'retrieve');
  const width = `the embeddings of ${name} have ${itc_hidden}, and cannot be cut: leave it out`;
  refuse('dimensions', (body.dimensions ?? itc_hidden) !== itc_hidden, width);
  const inputs = embeddingInputs(input, 'input');
  const context = requestContextOf(c, deps);
  const { vectors, tokens } = await embedInputs(
    deps,
    inputs,
    'input',
    context,
    truncate ? 'right' : undefined,
  );
  const reply: OllamaEmbedReply = {
    model,
    embeddings: vectors,
    total_duration: (deps.now() - c.get('startedAt')) * 1_000_000,
    load_duration: 0,
    prompt_eval_count: tokens,
  };
  const cost = numbersCost(vectors.length * itc_hidden, 'fewer inputs');
  return await largeJson(c, deps, reply, cost, NOT_STORED);
};

export const embedOneOnOllama: Handler = async (c, deps) => {
  const body = validate(
    OllamaEmbeddingsRequest,
    await readJsonObject(c.req.raw, readingOf(c, deps)),
  );
  retrievalModel(deps.models);
  expectOllamaModel(deps.models, body.model, 'retrieve');
  const inputs = embeddingInputs(body.prompt, 'prompt');
  const context = requestContextOf(c, deps);
  const { vectors } = await embedInputs(deps, inputs, 'prompt', context, 'right');
  const [embedding = []] = vectors;
  return c.json({ embedding } satisfies OllamaEmbeddingsReply, 200, NOT_STORED);
};
