/** Looks the embeddings of many images up, a few at a time and in their order, so that memory holds no more than these. */
import { embeddingIdOf, imagePathOf } from '@blip2/shared/cache-key';
import { type EmbeddingType, embeddingPayload } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import type { ImageId } from '@blip2/shared/image-id';
import type { ImageInfo } from '@blip2/shared/wire';
import type { RequestContext } from '../request-context.ts';
import { bulkReads } from '../turns/bulk-reads.ts';
import type { EmbeddingStore } from './embedding-store.ts';
import { cacheUnavailable } from './resolve-embeddings.ts';

/** As many connections as a Worker may have open. */
const AT_A_TIME = 6;
/** A number of float32 in memory, and as text with what it is made of. */
const [VALUE_BYTES, TEXT_BYTES] = [4, 24];

/** What a look-up has in memory while nobody reads on: what was looked up ahead, and what is made of one. */
export function heldBytes({
  shape: { numQueries, hidden },
}: Pick<EmbeddingStore, 'shape'>): number {
  return numQueries * hidden * (AT_A_TIME * VALUE_BYTES + TEXT_BYTES);
}

/** What was found of an image: values of `type`, little endian, row-major [queries, width]. */
export type Found = { id: ImageId; type: EmbeddingType; payload: Uint8Array; image: ImageInfo };
export type FoundOrMissing = Found | { id: ImageId; payload?: undefined };

export type LookupOptions = {
  /** Of the instruction, where the model's embeddings depend on one. */
  instructionIds: readonly number[] | undefined;
  /** The type that is wanted; undefined takes them as they are cached. */
  dtype: EmbeddingType | undefined;
};

/**
 * An entry for each image, in their order.
 * @throws ApiError `cache-unavailable` where KV does not answer: what it may have is not missing
 */
export async function* lookupMany(
  store: EmbeddingStore,
  ids: readonly ImageId[],
  options: LookupOptions,
  context: RequestContext,
): AsyncGenerator<FoundOrMissing, void, undefined> {
  const pending: Promise<FoundOrMissing>[] = [];
  const end = new AbortController();
  let next = 0;
  try {
    while (next < ids.length || pending.length > 0) {
      while (next < ids.length && pending.length < AT_A_TIME) {
        const found = lookupOne(store, ids[next++] as ImageId, options, context, end.signal);
        // It may fail before its turn.
        found.catch(() => {});
        pending.push(found);
      }
      yield (await pending.shift()) as FoundOrMissing;
    }
  } finally {
    // Those that wait would take turns of others where one has failed, or nobody wants the rest.
    end.abort();
  }
}

async function lookupOne(
  store: EmbeddingStore,
  id: ImageId,
  { instructionIds, dtype }: LookupOptions,
  context: RequestContext,
  ended: AbortSignal,
): Promise<FoundOrMissing> {
  const embeddingId = await embeddingIdOf(imagePathOf(context.namespace, id), instructionIds);
  const { client = '', signal } = context;
  const read = () =>
    bulkReads.run(client, () => store.cache.read(embeddingId, context), { signal, ended });
  let lookup = await read();
  // One failure of a thousand must not end all of them.
  if (lookup.kind === 'miss' && lookup.reason === 'failed') {
    lookup = await read();
  }
  if (lookup.kind === 'miss') {
    if (lookup.reason === 'failed') throw cacheUnavailable();
    return { id };
  }
  const { embeddings, image } = lookup.entry;
  const { type, payload } = embeddingPayload(embeddings, store.shape);
  const wanted = dtype ?? type;
  return { id, type: wanted, payload: converted(payload, type, wanted), image };
}

/** @example converted(payload, 'float32', 'float16') // half as many bytes */
export function converted(payload: Uint8Array, from: EmbeddingType, to: EmbeddingType): Uint8Array {
  if (from === to) return payload;
  const { buffer } = payload.slice();
  const values =
    from === 'float16'
      ? new Float32Array(new Float16Array(buffer))
      : new Float16Array(new Float32Array(buffer));
  return new Uint8Array(values.buffer);
}

/** The problem of a look-up that takes too long before its reply can begin. */
export function expectInTime({ deadlineAt }: RequestContext, now: number): void {
  if (now < deadlineAt) return;
  const detail =
    'Looking all of these up takes too long: ask for fewer at a time, or for JSON lines.';
  throw new ApiError('deadline-exceeded', detail);
}
