/** zero-shot-image-classification: which of some labels fits an image. */
import { ApiError } from '@blip2/shared/errors';
import {
  ZeroShotParameters,
  type ZeroShotReply,
  ZeroShotRequest,
} from '@blip2/shared/schemas/hugging-face/compare';
import { retrievalModel } from '@blip2/shared/served-models';
import { validate } from '@blip2/shared/validate';
import { expectRoom } from '../../gpu/workers.ts';
import { resolveImage } from '../../image/image-source.ts';
import { textTokens } from '../../limits/cost.ts';
import { matchTexts } from '../../retrieval/retrieve.ts';
import { tokenizeTexts } from '../../retrieval/tokenize-texts.ts';
import { requestContextOf } from '../../routes/app-context.ts';
import { expectModel } from '../model-ids.ts';
import { imageFromText, membersOf, NOT_STORED, onImage, type Task } from './task.ts';

export const classify: Task = async (c, deps, inference) => {
  const model = retrievalModel(deps.models);
  if (inference.id !== undefined) expectModel(deps.models, inference.id, 'retrieve');
  const { members, image } = membersOf(inference, ZeroShotParameters);
  const { inputs, parameters } = validate(ZeroShotRequest, members);
  const { candidate_labels: labels, hypothesis_template = '{}' } = parameters;
  const texts = labels.map((label) => hypothesis_template.replace('{}', () => label));
  const context = requestContextOf(c, deps);
  const field = 'parameters.candidate_labels';
  const ids = await tokenizeTexts(deps, model, { texts, field }, context);
  const named =
    image ??
    (typeof inputs === 'string'
      ? imageFromText(inputs, 'inputs')
      : imageFromText(inputs.image, 'inputs.image'));
  await context.account?.expect({ tokens: textTokens(ids), images: 1 });
  expectRoom(deps.gpu, context);
  const { scores } = await onImage(named, async (source) => {
    const { bytes, id } = await resolveImage(deps, source, context);
    if (bytes !== undefined) return await matchTexts(deps, { bytes, id }, ids, context);
    const detail = `${named.field}: send the image itself: to compare it with labels its hash does not suffice.`;
    throw new ApiError('no-image', detail, { field: named.field });
  });
  const shares = sharesOf(scores.map(({ itm }) => itm));
  const reply: ZeroShotReply = labels
    .map((label, i) => ({ label, score: shares[i] ?? 0 }))
    .toSorted((a, b) => b.score - a.score);
  return c.json(reply, 200, NOT_STORED);
};

/**
 * The probabilities that each text matches, as parts of 1: their softmax over logarithms.
 * @example sharesOf([0.9, 0.1, 0]) // [0.9, 0.1, 0]
 */
export function sharesOf(probabilities: readonly number[]): number[] {
  const sum = probabilities.reduce((all, one) => all + one, 0);
  return probabilities.map((one) => (sum > 0 ? one / sum : 1 / probabilities.length));
}
