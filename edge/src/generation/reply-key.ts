/** What decides a reply, and so names it: everything that changes what the model says, and nothing else. */
import { createHash } from 'node:crypto';
import type { ImageId } from '@blip2/shared/image-id';
import type { GenerativeModel } from '../model-manifest.ts';
import type { RequestContext } from '../request-context.ts';
import type { Prompt } from './prompt.ts';

/** Rises when the same tokens would become another reply, or be stored in another form. */
const FORMAT = 1;

/** Names all replies about an image, and one of them. */
export type ReplyKey = { image: string; digest: string };

/** Whether the same request always gets the same: a reply for which nothing is drawn. */
export function isRepeatable({ generation }: Pick<Prompt, 'generation'>): boolean {
  return generation.temperature === 0;
}

/**
 * Names all replies about an image, of those who share a namespace: with `/<digest>` behind it, at most 512 bytes, the
 * limit of Workers KV.
 */
export function repliesAbout(imageId: ImageId, namespace: string): string {
  return `reply/${encodeURIComponent(namespace)}/${imageId}`;
}

/** The namespace of a request: '' is shared by all who have none of their own. */
export function namespaceOf(_context: RequestContext): string {
  return '';
}

/**
 * The worker is not part of it: a reply that is found names the one that wrote it. The seed is not, since nothing is
 * drawn; every other setting is, with its default where the request has none.
 */
export function replyKeyOf(
  model: Pick<GenerativeModel, 'revision' | 'preprocessing'>,
  imageId: ImageId,
  { inputIds, instructionIds, generation, stopSequences }: Prompt,
  namespace: string,
): ReplyKey {
  const { seed: _seed, ...settings } = generation;
  const image = repliesAbout(imageId, namespace);
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
