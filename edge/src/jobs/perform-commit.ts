/** From what a GPU worker commits of an item to the item's result. */
import { embeddingIdOf, imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { framesOf } from '@blip2/shared/frames';
import { decodeEvent } from '@blip2/shared/gpu-events';
import type { ItemOutcome } from '@blip2/shared/jobs/commit';
import type { GpuTask, ImageInfo } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import type { GpuReplyEvent } from '../gpu/client.ts';
import { textTokens } from '../limits/cost.ts';
import type { RequestContext } from '../request-context.ts';
import type { BatchLine, JobUsage, PartOrder } from './contract.ts';
import type { OpenItem } from './open-items.ts';
import type { EndedItem } from './part-table.ts';
import type { ItemOwner, Performance, Rehearser } from './rehearsal.ts';
import { repliedItem } from './results.ts';

/** Of an item that was run. */
export type RunOutcome = Exclude<ItemOutcome, { kind: 'gave-up' }>;

/** How an item is called wherever it is run. @example 'job-5e3f0c9d-12-345' */
export function ownerOf(order: PartOrder, item: number): ItemOwner {
  const { job, part, namespace, isOfBucket } = order;
  return { namespace, isOfBucket, name: `job-${job.slice(0, 32)}-${part}-${item}` };
}

export async function performCommit(
  rehearser: Rehearser,
  order: PartOrder,
  open: OpenItem,
  outcome: RunOutcome,
): Promise<{ ended: EndedItem; performance: Performance | null }> {
  const place = { part: order.part, item: open.item };
  const line = JSON.parse(open.line) as BatchLine;
  const performance = performanceOf(open, outcome);
  const reply = await rehearser.perform(line, ownerOf(order, open.item), performance);
  const { sha256 } = performance;
  const ended = repliedItem(place, line, reply, { sha256, used: textsOf(open.work.task) });
  // Nothing is cached of what is too large to be a result.
  const isTooLarge = reply.status < 400 && ended.outcome === 'failed';
  return { ended, performance: isTooLarge ? null : performance };
}

/** Tokens of texts that were compared or embedded: not every route says in its reply how many there were. */
function textsOf(task: GpuTask): JobUsage | null {
  if (task.kind !== 'match' && task.kind !== 'embed-texts') return null;
  return { prompt_tokens: textTokens(task.texts), completion_tokens: 0 };
}

function performanceOf({ work }: OpenItem, outcome: RunOutcome): Performance {
  const known = 'sha256' in work.source ? work.source.sha256 : undefined;
  if (outcome.kind === 'failed') {
    return { events: [], error: ApiError.fromProblem(outcome.problem), sha256: known, work };
  }
  const sha256 = outcome.sha256 ?? known;
  const events: GpuReplyEvent[] = [];
  try {
    for (const frame of framesOf(Uint8Array.fromBase64(outcome.frames))) {
      const event = decodeEvent(frame);
      if (event.type === 'error') {
        return { events, error: ApiError.fromProblem(event.problem), sha256, work };
      }
      events.push(event);
    }
  } catch (cause) {
    const error = new ApiError('bad-gateway', 'The GPU worker committed an invalid reply.', {
      cause,
    });
    return { events: [], error, sha256, work };
  }
  return { events, sha256, work };
}

/** Caches the query embeddings of an image that was encoded for a job. Never rejects. */
export async function cacheEmbeddings(
  { stores }: Pick<Dependencies, 'stores'>,
  { namespace }: PartOrder,
  { events, sha256, work: { task } }: Performance,
  context: RequestContext,
): Promise<void> {
  const kind = task.kind === 'embed' ? task.embedding : 'query';
  const store = stores[kind];
  if (sha256 === undefined || store === undefined) return;
  if (task.kind !== 'embed' && task.kind !== 'generate') return;
  let image: ImageInfo | undefined;
  for (const event of events) {
    if (event.type === 'imageInfo') image = event.image;
    if (event.type !== 'embeddings' || image === undefined) continue;
    const { embeddings } = event;
    try {
      store.cache.checkValue(embeddings);
    } catch {
      return;
    }
    const path = imagePathOf(namespace, sha256);
    const id = await embeddingIdOf(path, task.instruction_ids);
    await store.cache.put(id, { embeddings, image, sentAt: context.startedAt }, context);
    // The objects of many parts share an isolate's memory.
    store.cache.dropRecent(path);
  }
}
