/** The embeddings of an image: from a cache, or computed now. */
import { ApiError } from '@blip2/shared/errors';
import type { CacheResult } from '@blip2/shared/schemas/image';
import type { GpuTimings, ImageInfo } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import type { RequestContext } from '../request-context.ts';
import type { CachedImage } from './embedding-cache.ts';
import type { EmbeddingStore } from './embedding-store.ts';
import { type LocatedImage, resolveEmbeddings } from './resolve-embeddings.ts';
import { instructing, runOnImage } from './run-on-image.ts';

/** When it resolves, the caches have the embeddings. @throws ApiError of the GPU worker, or `unknown-image` */
export async function embedImage(
  deps: Pick<Dependencies, 'gpu'>,
  store: EmbeddingStore,
  image: LocatedImage,
  context: RequestContext,
): Promise<{ entry: CachedImage; cache: CacheResult; timings_ms: GpuTimings }> {
  const resolved = await resolveEmbeddings(store, image, context);
  const { cache } = resolved;
  if (resolved.kind === 'cached') return { entry: resolved.entry, cache, timings_ms: {} };
  let info: ImageInfo | undefined;
  let embeddings: CachedImage['embeddings'] | undefined;
  let timings_ms: GpuTimings = {};
  const { embeddingId, instructionIds } = image;
  const task = { kind: 'embed', embedding: store.kind, ...instructing(instructionIds) } as const;
  for await (const event of runOnImage(deps, store, embeddingId, resolved, task, context)) {
    if (event.type === 'imageInfo') info = event.image;
    if (event.type === 'embeddings') embeddings = event.embeddings;
    if (event.type === 'done') timings_ms = event.timings_ms;
  }
  if (info === undefined || embeddings === undefined) {
    throw new ApiError('bad-gateway', 'The GPU worker sent no embeddings.');
  }
  const { sentAt } = resolved.flight;
  return { entry: { embeddings, image: info, sentAt }, cache, timings_ms };
}
