/** Deletes everything that is remembered of an image in a namespace. What remembers anything of an image stands here. */
import { type ImagePath, imagePrefix } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../dependencies.ts';
import { CacheService, type Patience } from '../embeddings/cache-service.ts';
import { ColoTier } from '../embeddings/colo-tier.ts';
import type { RequestContext } from '../request-context.ts';

/** Of a list of KV: as many as can be deleted in the time of one call. */
const PAGE = 32;
/** What one call deletes: the platform allows each request a thousand operations. */
const MAX_ENTRIES = 384;

type Deps = Pick<
  Dependencies,
  'coloCache' | 'config' | 'deletions' | 'gpu' | 'kv' | 'now' | 'replyCache' | 'stores'
>;

/**
 * When it resolves, nothing is found by this isolate; how soon by others is in docs/security.md. What was sent before it
 * and is still computed is not stored.
 *
 * What remembers something of an image, and how a deletion reaches it:
 * - this isolate's memory and encodes under way: `dropRecent`, `flights.close`, and `Deletions.hides` for what comes later;
 * - embeddings in KV, of every kind, instruction and revision: listed by the image, and deleted;
 * - embeddings in the caches of other locations and isolates: unreadable by the time of the namespace's last deletion. What
 *   is made of them meanwhile is as old as they are (`CachedImage.sentAt`), and so is deleted with them;
 * - texts by the ids of messages (`ReplyMemory`): unreadable by the image's tombstone;
 * - whole replies (`ReplyCache`): here, in KV and at this location deleted, elsewhere unreadable once the image's tombstone was read;
 * - image features and prompts at the GPU worker: `GpuClient.dropImage`;
 * - replies stored under an `Idempotency-Key`: each names its images, and is looked up by the tombstone before it is replayed;
 * - files uploaded to `/replicate/v1/files`, and predictions with their texts: those of the caller are deleted (`PredictionObject.deleteImage`),
 *   those of others in the namespace are looked up by the tombstone when they are asked for. A prediction that has not ended is answered.
 * - images that were in the lines of jobs, and files uploaded to `/v1/files` that are the image: those of the caller, or of
 *   all callers of its namespace, are deleted (`JobIndex.deleteImage`). Not reached are uploaded lines that have the image in
 *   them, lines with hashes and addresses, and results: until they expire.
 * @throws ApiError `cache-unavailable` or `worker-unavailable` where not all of it could be deleted: the call may be repeated
 */
export async function deleteImage(
  deps: Deps,
  path: ImagePath,
  context: RequestContext,
): Promise<void> {
  const { deletions, gpu, replyCache, stores, now } = deps;
  const at = deletions.begin(path);
  for (const { cache, flights } of Object.values(stores)) {
    cache.dropRecent(path);
    flights.close((id) => id === path || id.startsWith(`${path}/`));
  }
  // Before the entries: whoever stores one meanwhile looks for the tombstone afterwards.
  if (!(await deletions.publish(path, at, context))) throw notDeleted();
  const results = await Promise.allSettled([
    deleteEntries(deps, path, context),
    replyCache.deleteImage(path, context).then((isDone) => {
      if (!isDone) throw notDeleted();
    }),
    gpu.dropImage(path, context),
  ]);
  // What is sent after the reply has to have a later time.
  while (now() <= at) await new Promise((resolve) => setTimeout(resolve, 1));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function deleteEntries(
  { kv, coloCache, now, config, stores }: Deps,
  path: ImagePath,
  context: RequestContext,
): Promise<void> {
  const patience: Patience = { now, timeoutMs: config.cacheTimeoutMs };
  const inKv = new CacheService('kv', patience);
  const inColo = new ColoTier({ coloCache, ...patience });
  const prefix = imagePrefix(path);
  const remove = async (key: string): Promise<boolean> => {
    const [isDeleted] = await Promise.all([
      inKv.attempt('delete', context, async () => {
        await kv.delete(key);
        return true;
      }),
      inColo.delete(key, context),
    ]);
    return isDeleted === true;
  };
  // These are known without a list, which may be late with what another location has stored.
  const known = Object.values(stores).map(({ cache }) => cache.keyOf(path));
  if ((await Promise.all(known.map(remove))).includes(false)) throw notDeleted();
  let cursor: string | undefined;
  for (let count = 0; count < MAX_ENTRIES; ) {
    const options = { prefix, limit: PAGE, ...(cursor !== undefined && { cursor }) };
    const list = await inKv.attempt('list', context, () => kv.list(options));
    if (list === undefined) throw notDeleted();
    const others = list.keys.filter(({ name }) => !known.includes(name));
    const deleted = await Promise.all(others.map(({ name }) => remove(name)));
    if (deleted.includes(false)) throw notDeleted();
    if (list.list_complete) return;
    cursor = list.cursor;
    count += list.keys.length;
  }
  const detail = `${MAX_ENTRIES} entries of this image were deleted, and there are more: call it again.`;
  throw new ApiError('cache-unavailable', detail, { retry_after: 1 });
}

/** @param cause where one is known */
export function notDeleted(cause?: unknown): ApiError {
  const detail = 'The cache does not answer now, so that not all could be deleted: call it again.';
  return new ApiError('cache-unavailable', detail, { retry_after: 5, cause });
}
