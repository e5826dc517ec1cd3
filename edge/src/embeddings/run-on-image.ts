/** Runs a task about an image at the GPU worker, and caches the embeddings that the worker computes. */
import { type EmbeddingId, partsOf } from '@blip2/shared/cache-key';
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';
import type { ImageId } from '@blip2/shared/image-id';
import type { GpuTask, ImageInfo } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import type { GpuReplyEvent } from '../gpu/client.ts';
import type { RequestContext } from '../request-context.ts';
import { within } from '../within.ts';
import type { CachedImage } from './embedding-cache.ts';
import type { EmbeddingStore } from './embedding-store.ts';
import type { ResolvedEmbeddings } from './resolve-embeddings.ts';

type Deps = Pick<Dependencies, 'gpu'> & {
  /** Gets the fingerprint of the worker that replies, before its first event. */
  onBegun?: (fingerprint: string | undefined) => void;
};
type ImageTask = Extract<GpuTask, { kind: 'generate' | 'embed' }>;
type ToEncode = Extract<ResolvedEmbeddings, { kind: 'encode' }>;

/** Problems of the GPU worker with an image itself. */
const IMAGE_PROBLEMS: ReadonlySet<ProblemSlug> = new Set(['invalid-image', 'image-too-large']);

/**
 * The worker's events; `imageInfo` comes first, whether the image is encoded or its embeddings were cached. `done` of
 * an `embed` waits until the caches have the embeddings, unless they are slow: the client may ask for them at once.
 * @throws ApiError of the GPU worker
 */
export function runOnImage(
  deps: Deps,
  store: EmbeddingStore,
  id: EmbeddingId,
  resolved: ResolvedEmbeddings,
  task: ImageTask,
  context: RequestContext,
): AsyncGenerator<GpuReplyEvent, void, undefined> {
  return resolved.kind === 'cached'
    ? runOnEmbeddings(deps, id, resolved.entry, { ...task, ...named(task, id) }, context)
    : encodeAndRun(deps, store, id, resolved, task, context);
}

/** Whose the embeddings are that text is generated from. */
function named({ kind }: ImageTask, id: EmbeddingId): { image_id?: ImageId } {
  return kind === 'generate' ? { image_id: partsOf(id).imageId } : {};
}

/** The member of a task that holds the instruction. */
export function instructing(
  ids: readonly number[] | undefined,
): Pick<ImageTask, 'instruction_ids'> {
  return ids === undefined ? {} : { instruction_ids: [...ids] };
}

async function* runOnEmbeddings(
  { gpu, onBegun }: Deps,
  id: EmbeddingId,
  { embeddings, image }: CachedImage,
  task: ImageTask,
  context: RequestContext,
): AsyncGenerator<GpuReplyEvent, void, undefined> {
  const source = { type: 'embeddings', payload: embeddings, imageId: partsOf(id).imageId } as const;
  let hasBegun = false;
  for await (const event of gpu.run(task, source, context, onBegun)) {
    // Not before the worker's first event: until then a failure becomes a status.
    if (!hasBegun) yield { type: 'imageInfo', image };
    hasBegun = true;
    if (event.type !== 'imageInfo' && event.type !== 'embeddings') yield event;
  }
}

async function* encodeAndRun(
  { gpu, onBegun }: Deps,
  { cache }: EmbeddingStore,
  id: EmbeddingId,
  { bytes, flight }: ToEncode,
  task: ImageTask,
  context: RequestContext,
): AsyncGenerator<GpuReplyEvent, void, undefined> {
  let image: ImageInfo | undefined;
  let stored: Promise<void> | undefined;
  try {
    const source = { type: 'image', payload: bytes, imageId: partsOf(id).imageId } as const;
    for await (const event of gpu.run(task, source, context, onBegun)) {
      if (event.type === 'imageInfo') image = event.image;
      else if (event.type === 'embeddings') {
        if (image === undefined) throw outOfOrder();
        checkEmbeddings(cache, event.embeddings);
        const entry = { embeddings: event.embeddings, image, sentAt: flight.sentAt };
        stored = cache.put(id, entry, context);
        context.waitUntil(stored);
        flight.settle(entry, stored);
      } else if (stored === undefined) throw outOfOrder();
      else if (event.type === 'done' && task.kind === 'embed') await soon(stored);
      yield event;
    }
  } catch (error) {
    // Every request with this image would fail so; other problems are of this request only, or worth another try.
    if (error instanceof ApiError && IMAGE_PROBLEMS.has(error.slug)) flight.fail(error);
    throw error;
  } finally {
    flight.leave();
  }
}

/** Longer than a cache that works needs; one that does not delays no reply for long. */
const STORED_MS = 500;

async function soon(stored: Promise<void>): Promise<void> {
  await within(STORED_MS, stored, 'storing').catch(() => {});
}

function checkEmbeddings(cache: EmbeddingStore['cache'], embeddings: Uint8Array): void {
  try {
    cache.checkValue(embeddings);
  } catch (cause) {
    const detail = 'The GPU worker sent embeddings that cannot be read.';
    throw new ApiError('bad-gateway', detail, { cause });
  }
}

function outOfOrder(): ApiError {
  return new ApiError('bad-gateway', 'The GPU worker sent its frames out of order.');
}
