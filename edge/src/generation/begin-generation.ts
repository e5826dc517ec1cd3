/** From what a request names to its text: the core that native routes and dialects share. */
import { imagePathOf } from '@blip2/shared/cache-key';
import type { Prompt } from '@blip2/shared/generation/prompt';
import type { ImageId } from '@blip2/shared/image-id';
import type { Dependencies } from '../dependencies.ts';
import { type LocatedImage, locateEmbeddings } from '../embeddings/resolve-embeddings.ts';
import { expectRoom } from '../gpu/workers.ts';
import { type ImageSource, resolveImage, type StoredImage } from '../image/image-source.ts';
import type { Account } from '../limits/account.ts';
import { mostGenerated } from '../limits/cost.ts';
import { EVERY_USE, type RequestContext } from '../request-context.ts';
import { inSpan } from '../tracing.ts';
import { type Delta, type GenerateRequest, generate, replay, type WrittenBy } from './generate.ts';
import type { CachedReply } from './reply-cache.ts';
import { isRepeatable, replyKeyOf } from './reply-key.ts';
import type { ReplyRecord } from './reply-record.ts';

/** A generation that has not begun at the GPU worker; the times are milliseconds since the epoch. */
export type BegunGeneration = {
  deltas: AsyncGenerator<Delta, void, undefined>;
  /** When the image had been read. */
  readAt: number;
  /** When its embeddings, or a reply that was written before, had been looked up. */
  locatedAt: number;
  /** Whether the reply was written before. */
  isReplay: boolean;
};

/**
 * Reads the image and looks a reply to the same request up, and the embeddings, so that what is wrong with the image is
 * known before a reply begins. The generation itself begins with the first delta that is asked for.
 * @throws ApiError of the image, or `unknown-image`
 * @example
 * const prompt = preparePrompt(deps, { text: '' }, {});
 * const { deltas } = await beginGeneration(deps, { source: { kind: 'bytes', bytes }, prompt }, context);
 * (await wholeOf(deltas)).text; // 'a dog'
 */
export async function beginGeneration(
  deps: Pick<
    Dependencies,
    'config' | 'fetch' | 'gpu' | 'images' | 'models' | 'now' | 'replyCache' | 'stores'
  >,
  { source, prompt }: { source: ImageSource | StoredImage; prompt: Prompt },
  context: RequestContext,
): Promise<BegunGeneration> {
  await expectTokens(deps, prompt, context.account);
  // Before its image is read: nothing that was written before is looked for.
  if (!mayReplay(deps, prompt, context)) expectRoom(deps.gpu, context);
  const input = await resolveImage(deps, source, context);
  const readAt = deps.now();
  const { id } = input;
  const locate = async () =>
    await locateEmbeddings(
      deps.stores.query,
      { ...input, instructionIds: prompt.instructionIds },
      context,
    );
  const found = await inSpan('look up caches', async (span) => {
    const found = await findReply(deps, { id, prompt, locate }, context);
    span?.setAttribute('cache', 'reply' in found ? 'reply' : found.image.embeddings.kind);
    return found;
  });
  const locatedAt = deps.now();
  const isReplay = 'reply' in found;
  const deltas = isReplay
    ? replay(deps, { id, prompt, reply: found.reply })
    : generate(deps, { ...found, prompt }, context);
  return { deltas, readAt, locatedAt, isReplay };
}

/** Whether a reply that was written before would do. */
function mayReplay(
  { replyCache }: Pick<Dependencies, 'replyCache'>,
  prompt: Prompt,
  { cacheUse = EVERY_USE }: RequestContext,
): boolean {
  return replyCache.isOn && isRepeatable(prompt) && cacheUse.maxAge > 0;
}

type Found = { reply: CachedReply } | Omit<GenerateRequest, 'prompt'>;

/**
 * A reply that was written before, or what a new one begins with, and how that one is cached. Embeddings are looked up
 * at the same time as replies outside the isolate, so that whoever asks something new does not wait for both.
 */
async function findReply(
  { gpu, models, replyCache }: Pick<Dependencies, 'gpu' | 'models' | 'replyCache'>,
  { id, prompt, locate }: { id: ImageId; prompt: Prompt; locate: () => Promise<LocatedImage> },
  context: RequestContext,
): Promise<Found> {
  const { maxAge, mayStore } = context.cacheUse ?? EVERY_USE;
  const isUsed = replyCache.isOn && isRepeatable(prompt) && (maxAge > 0 || mayStore);
  if (!isUsed) return { image: await locate() };
  const askedAt = context.startedAt;
  const key = replyKeyOf(models.generate, imagePathOf(context.namespace, id), prompt);
  const onWritten = (record: ReplyRecord, { worker, sentAt }: WrittenBy) => {
    if (!mayStore || worker === undefined) return;
    context.waitUntil(replyCache.put(key, { record, worker, askedAt, sentAt }, context));
  };
  if (maxAge === 0) return { image: await locate(), onWritten };
  const wanted = { maxAge, worker: () => gpu.fingerprint(id) };
  const recent = await replyCache.findRecent(key, wanted, context);
  if (recent !== null) return { reply: recent };
  const refusal = gpu.refusal(context);
  const locating = refusal === null ? locate() : null;
  // A reply needs no embeddings; where there is none, whoever waits for these gets the error.
  locating?.catch(() => {});
  const stored = await replyCache.findStored(key, wanted, context);
  if (stored !== null) return { reply: stored };
  if (locating === null) throw refusal;
  return { image: await locating, onWritten };
}

/** @throws ApiError `quota-exceeded` where the caller has fewer tokens left than the generation may need */
export async function expectTokens(
  { models }: Pick<Dependencies, 'models'>,
  { inputIds, generation }: Prompt,
  account: Account | undefined,
): Promise<void> {
  await account?.expect({ tokens: mostTokens(models, { inputIds, generation }), images: 0 });
}

/** Tokens that a generation may need at most. */
export function mostTokens(
  { generate }: Dependencies['models'],
  { inputIds, generation }: Pick<Prompt, 'inputIds' | 'generation'>,
): number {
  return generate.num_query_tokens + inputIds.length + mostGenerated(generation);
}

/** What the last delta says. */
export async function wholeOf<Whole>(
  deltas: AsyncIterable<{ type: 'done'; generation: Whole } | { type: 'image' | 'delta' }>,
): Promise<Whole> {
  for await (const delta of deltas) if (delta.type === 'done') return delta.generation;
  throw new Error('a generation ended without its last delta');
}
