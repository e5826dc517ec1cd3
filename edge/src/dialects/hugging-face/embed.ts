/** feature-extraction and sentence-similarity: ITC's embeddings, and what they say of two texts. */
import { ApiError } from '@blip2/shared/errors';
import type { Cut } from '@blip2/shared/retrieval-ids';
import {
  EmbeddingParameters,
  type FeatureExtractionReply,
  FeatureExtractionRequest,
  SentenceSimilarityRequest,
} from '@blip2/shared/schemas/hugging-face/compare';
import { type RetrievalModel, retrievalModel } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import * as z from 'zod/mini';
import { embedInputs } from '../../retrieval/embed-inputs.ts';
import { requestContextOf } from '../../routes/app-context.ts';
import { largeJson, numbersCost } from '../../routes/large-reply.ts';
import { embeddingInputs } from '../embedding-inputs.ts';
import { expectModel } from '../model-ids.ts';
import { refuse } from '../refuse.ts';
import { membersOf, NOT_STORED, type Task } from './task.ts';

export const embed: Task = async (c, deps, inference) => {
  const model = retrievalModel(deps.models);
  if (inference.id !== undefined) expectModel(deps.models, inference.id, 'retrieve');
  const { members, image } = membersOf(inference, EmbeddingParameters);
  // Of an image itself only the parameters are left to be checked.
  const checked = image === undefined ? members : { ...members, inputs: 'an image' };
  const {
    inputs,
    parameters,
    options: _options,
    ...own
  } = validate(FeatureExtractionRequest, checked);
  for (const asked of [own, parameters ?? {}]) refuseOthers(asked, model);
  const context = requestContextOf(c, deps);
  const all =
    image === undefined
      ? embeddingInputs(inputs, 'inputs')
      : [{ kind: 'image' as const, ...image }];
  const { vectors } = await embedInputs(deps, all, 'inputs', context, cutOf(own, parameters));
  const [first = []] = vectors;
  const reply: FeatureExtractionReply = Array.isArray(inputs) ? vectors : first;
  const cost = numbersCost(vectors.length * model.itc_hidden, 'fewer inputs');
  return await largeJson(c, deps, reply, cost, NOT_STORED);
};

export const compareSentences: Task = async (c, deps, inference) => {
  retrievalModel(deps.models);
  if (inference.id !== undefined) expectModel(deps.models, inference.id, 'retrieve');
  const { members } = membersOf(inference, z.strictObject({}));
  const { inputs } = validate(SentenceSimilarityRequest, members);
  const texts = [inputs.source_sentence, ...inputs.sentences];
  const all = texts.map((text) => ({ kind: 'text' as const, text }));
  const { vectors } = await embedInputs(deps, all, 'inputs.sentences', requestContextOf(c, deps));
  const [source = [], ...others] = vectors;
  const cosine = (vector: readonly number[]) =>
    vector.reduce((sum, value, i) => sum + value * (source[i] ?? 0), 0);
  return c.json(others.map(cosine), 200, NOT_STORED);
};

/** @throws ApiError `unsupported-parameter` for embeddings that the model does not make */
function refuseOthers(asked: EmbeddingParameters, { name, itc_hidden }: RetrievalModel): void {
  const { normalize = true, dimensions = itc_hidden, encoding_format = 'float' } = asked;
  refuse('normalize', !normalize, 'the embeddings have the length 1: leave it out');
  const width = `the embeddings of ${name} have ${itc_hidden}, and cannot be cut: leave it out`;
  refuse('dimensions', dimensions !== itc_hidden, width);
  refuse('encoding_format', encoding_format !== 'float', 'numbers are sent: leave it out');
}

/**
 * The end at which too long a text is cut, wherever the request says so.
 * @throws ApiError `invalid-request` for an option that stands in two places with two values
 */
function cutOf(own: EmbeddingParameters, parameters: EmbeddingParameters = {}): Cut | undefined {
  for (const name of ['truncate', 'truncation_direction'] as const) {
    const values = [own[name], parameters[name]];
    if (values.includes(undefined) || values[0] === values[1]) continue;
    const field = `parameters.${name}`;
    const detail = `${field}: is given in another place with another value: give one of them.`;
    throw new ApiError('invalid-request', detail, { field });
  }
  const { truncate = false, truncation_direction = 'right' } = { ...own, ...parameters };
  if (!truncate) return undefined;
  return truncation_direction.toLowerCase() === 'left' ? 'left' : 'right';
}
