/** visual-question-answering: the likeliest answers, each with its probability. */
import { ApiError } from '@blip2/shared/errors';
import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import { preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import { answerPrompt } from '@blip2/shared/prompts';
import type { Choice } from '@blip2/shared/schemas/generation';
import {
  AnsweringParameters,
  type VisualQuestionAnsweringReply,
  VisualQuestionAnsweringRequest,
} from '@blip2/shared/schemas/hugging-face/text';
import { validate } from '@blip2/shared/validate';
import { beginGeneration, wholeOf } from '../../generation/begin-generation.ts';
import { requestContextOf } from '../../routes/app-context.ts';
import { expectModel } from '../model-ids.ts';
import {
  imageFromText,
  membersOf,
  type NamedImage,
  NOT_STORED,
  onImage,
  type Task,
} from './task.ts';

export const answer: Task = async (c, deps, inference) => {
  if (inference.id !== undefined) expectModel(deps.models, inference.id, 'generate');
  const { members, image } = membersOf(inference, AnsweringParameters);
  const body = validate(VisualQuestionAnsweringRequest, members);
  const { top_k = 1, ...limits } = body.parameters ?? {};
  const question = questionOf(body);
  const text = answerPrompt(deps.models.generate.family, question);
  const options = { ...limits, ...searchFor(top_k) };
  const prompt = preparePrompt(deps, { text, field: 'question' }, options);
  const context = requestContextOf(c, deps);
  const { choices, ...only } = await onImage(image ?? imageOf(body), async (source) => {
    const { deltas } = await beginGeneration(deps, { source, prompt }, context);
    return await wholeOf(deltas);
  });
  const reply: VisualQuestionAnsweringReply = (choices ?? [only]).map((choice) => ({
    answer: choice.text,
    score: probabilityOf(choice),
  }));
  return c.json(reply, 200, NOT_STORED);
};

/** Several answers are the beams of a search, which ranks them by their probability where no penalty divides it. */
function searchFor(count: number): GenerationOptions {
  if (count === 1) return { n: 1, logprobs: true };
  return { num_beams: count, n: count, length_penalty: 0, logprobs: true };
}

/** Of the tokens of a text, from 0 to 1. */
function probabilityOf({ logprobs = [] }: Choice): number {
  const sum = logprobs.reduce((all, { logprob }) => all + logprob, 0);
  return Math.min(Math.exp(sum), 1);
}

/** @throws ApiError `invalid-request` where there is none */
function questionOf({ inputs, question }: VisualQuestionAnsweringRequest): string {
  const asked = (typeof inputs === 'object' ? inputs.question : undefined) ?? question;
  if (asked !== undefined) return asked;
  const field = 'inputs.question';
  throw new ApiError(
    'invalid-request',
    `${field}: is required: send {inputs: {question, image}}.`,
    {
      field,
    },
  );
}

/** @throws ApiError `no-image`, `invalid-base64` */
function imageOf({ inputs, image }: VisualQuestionAnsweringRequest): NamedImage {
  if (typeof inputs === 'string') return imageFromText(inputs, 'inputs');
  if (inputs?.image !== undefined) return imageFromText(inputs.image, 'inputs.image');
  if (image !== undefined) return imageFromText(image, 'image');
  const field = 'inputs.image';
  throw new ApiError('no-image', `${field}: is required: send the image as base64.`, { field });
}
