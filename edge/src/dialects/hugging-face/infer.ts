/** Which task a request is of, on the path of a model: that client says its task to nobody. */
import { isBase64Image } from '@blip2/shared/image-text';
import { isImageAddress } from '../../image/image-source.ts';
import { answer } from './answer.ts';
import { caption } from './caption.ts';
import { classify } from './classify.ts';
import { compareSentences, embed } from './embed.ts';
import type { Inference, Task } from './task.ts';

/** @example inferTask({ request: { kind: 'json', members: { inputs: 'a cat' } }, … }) // embed */
export function inferTask({ request, query }: Inference): Task {
  if (request.kind === 'image') {
    return query.some(([name]) => /^candidate_labels\b/.test(name)) ? classify : caption;
  }
  const { inputs, parameters, question } = request.members;
  const isIn = (value: unknown, name: string) =>
    typeof value === 'object' && value !== null && Object.hasOwn(value, name);
  if (question !== undefined || isIn(inputs, 'question')) return answer;
  if (isIn(parameters, 'candidate_labels')) return classify;
  if (isIn(inputs, 'source_sentence')) return compareSentences;
  return typeof inputs === 'string' && isImage(inputs) ? caption : embed;
}

/** An address, the hash of an image, or base64 whose bytes begin as those of one. */
const isImage = (text: string) =>
  isImageAddress(text) || /^[0-9a-f]{64}$/i.test(text) || isBase64Image(text);
