/** What decides a reply, and so names it: everything that changes what the model says, and nothing else. */
import { createHash } from 'node:crypto';
import type { ImagePath } from '@blip2/shared/cache-key';
import type { Prompt } from '@blip2/shared/generation/prompt';
import type { GenerativeModel } from '@blip2/shared/served-models';

/** Rises when the same tokens would become another reply, or be stored in another form. */
const FORMAT = 1;

/** Names all replies about an image, of those who share a namespace, and one of them. */
export type ReplyKey = { image: ImagePath; digest: string };

/** Whether the same request always gets the same: a reply for which nothing is drawn. */
export function isRepeatable({ generation }: Pick<Prompt, 'generation'>): boolean {
  return generation.temperature === 0;
}

/**
 * The worker is not part of it: a reply that is found names the one that wrote it. The seed is not, since nothing is
 * drawn; every other setting is, with its default where the request has none.
 */
export function replyKeyOf(
  model: Pick<GenerativeModel, 'revision' | 'preprocessing'>,
  image: ImagePath,
  { inputIds, instructionIds, generation, stopSequences }: Prompt,
): ReplyKey {
  const { seed: _seed, ...settings } = generation;
  const parts = [
    FORMAT,
    image,
    model.revision,
    model.preprocessing,
    inputIds,
    instructionIds ?? null,
    Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1)),
    stopSequences,
  ];
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  return { image, digest };
}
