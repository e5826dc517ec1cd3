/** One run at the GPU worker for an image: from its kept embeddings where there are any, else from its bytes. */
import { ApiError } from '@blip2/shared/errors';
import type { TokensPayload } from '@blip2/shared/frames';
import type { CacheResult } from '@blip2/shared/schemas/image';
import type { GpuDone, GpuRequest, ImageInfo } from '@blip2/shared/wire';
import type { Scope, Services, Store } from '../dependencies.ts';
import type { ImageInput } from '../image/image-source.ts';
import type { KnownImage } from './embedding-cache.ts';
import type { Follower, Leader } from './single-flight.ts';

/** What is asked about an image whose embeddings may be kept. */
type SeeRequest = Extract<GpuRequest, { kind: 'generate' | 'embed' }>;

/** Where the embeddings of an image are, before anything is computed. */
export type Found =
  | { kind: 'known'; known: KnownImage; cache: CacheResult }
  /** Another request computes them, or has just done so. */
  | { kind: 'pending'; place: Follower<KnownImage> }
  | { kind: 'unknown' };

/** `image` comes first, then `embeddings`, then what was written. */
export type SeeEvent =
  | { type: 'image'; image: ImageInfo; cache: CacheResult }
  /** `kept` ends when the caches have them. */
  | { type: 'embeddings'; known: KnownImage; kept: Promise<void> }
  | ({ type: 'tokens' } & TokensPayload)
  | { type: 'done'; done: GpuDone };

/** @throws ApiError `unknown-image` when only a hash was sent and nothing is kept for it */
export async function find(
  { cache, encodes }: Store,
  { sha256, bytes }: ImageInput,
  scope: Scope,
): Promise<Found> {
  const place = encodes.follow(sha256);
  if (place !== null) return { kind: 'pending', place };
  const lookup = await cache.lookup(sha256, scope.waitUntil);
  if (lookup.kind === 'hit') return { kind: 'known', known: lookup.known, cache: lookup.tier };
  if (bytes !== undefined) return { kind: 'unknown' };
  // The image may have come while the look-up was under way.
  const late = encodes.follow(sha256);
  if (late !== null) return { kind: 'pending', place: late };
  if (lookup.damaged) scope.waitUntil(cache.drop(sha256));
  throw unknownImage();
}

/**
 * @param request `deadline_ms` is replaced by what is left of the scope's time, `client` by the scope's
 * @throws ApiError of the GPU worker, or `unknown-image` when the request that had the bytes is gone
 */
export async function* see(
  services: Store & Pick<Services, 'gpu'>,
  input: ImageInput,
  found: Found,
  request: SeeRequest,
  scope: Scope,
): AsyncGenerator<SeeEvent, void, undefined> {
  if (found.kind === 'known') {
    yield* fromEmbeddings(services, found.known, found.cache, request, scope);
    return;
  }
  let place = found.kind === 'pending' ? found.place : null;
  for (;;) {
    if (place === null && input.bytes === undefined) throw unknownImage();
    const current: Follower<KnownImage> | Leader<KnownImage> =
      place ?? services.encodes.join(input.sha256);
    if (current.role === 'leader') {
      yield* fromImage(services, input, current, request, scope);
      return;
    }
    const known = await current.wait(scope.signal);
    if (known !== null) {
      const cache = current.settled ? 'colo' : 'miss';
      yield* fromEmbeddings(services, known, cache, request, scope);
      return;
    }
    place = services.encodes.follow(input.sha256);
  }
}

async function* fromEmbeddings(
  { gpu }: Pick<Services, 'gpu'>,
  known: KnownImage,
  cache: CacheResult,
  request: SeeRequest,
  scope: Scope,
): AsyncGenerator<SeeEvent, void, undefined> {
  const told: SeeEvent[] = [
    { type: 'image', image: known.image, cache },
    { type: 'embeddings', known, kept: Promise.resolve() },
  ];
  if (request.kind === 'generate') {
    const attachment = { type: 'embeddings', payload: known.embeddings } as const;
    for await (const event of gpu.run(inTime(request, scope), attachment, scope.signal)) {
      // Not before the worker has begun: until then a failure is an answer of its own.
      yield* told.splice(0);
      if (event.type === 'tokens' || event.type === 'done') yield event;
    }
  }
  yield* told;
}

async function* fromImage(
  { gpu, cache }: Store & Pick<Services, 'gpu'>,
  { sha256, bytes = new Uint8Array() }: ImageInput,
  leader: Leader<KnownImage>,
  request: SeeRequest,
  scope: Scope,
): AsyncGenerator<SeeEvent, void, undefined> {
  let image: ImageInfo | undefined;
  let isKnown = false;
  try {
    const attachment = { type: 'image', payload: bytes } as const;
    for await (const event of gpu.run(inTime(request, scope), attachment, scope.signal)) {
      if (event.type === 'image') {
        image = event.image;
        yield { type: 'image', image, cache: 'miss' };
      } else if (event.type === 'embeddings') {
        if (image === undefined) throw outOfOrder();
        checkEmbeddings(cache, event.embeddings);
        const known = { embeddings: event.embeddings, image };
        const kept = cache.keep(sha256, known);
        scope.waitUntil(kept);
        leader.settle(known, kept);
        isKnown = true;
        yield { type: 'embeddings', known, kept };
      } else if (event.type === 'tokens' || event.type === 'done') {
        if (!isKnown) throw outOfOrder();
        yield event;
      } else throw outOfOrder();
    }
  } catch (error) {
    // An image that cannot be read is the same for everybody; other errors are worth another try.
    if (error instanceof ApiError && error.status === 400) leader.fail(error);
    throw error;
  } finally {
    leader.leave();
  }
}

function checkEmbeddings(cache: Store['cache'], embeddings: Uint8Array): void {
  try {
    cache.checkValue(embeddings);
  } catch (cause) {
    throw new ApiError('bad-gateway', 'The GPU worker sent embeddings that cannot be read.', {
      cause,
    });
  }
}

/** The request with what is left of the scope's time, and who asks. @throws ApiError `deadline-exceeded` */
export function inTime<R extends GpuRequest>(request: R, { deadlineAt, client }: Scope): R {
  const left = Math.round(deadlineAt - Date.now());
  if (left <= 0) throw new ApiError('deadline-exceeded', 'No time was left for the GPU worker.');
  return { ...request, deadline_ms: left, ...(client === undefined ? {} : { client }) };
}

function outOfOrder(): ApiError {
  return new ApiError('bad-gateway', 'The GPU worker sent its frames out of order.');
}

export function unknownImage(): ApiError {
  return new ApiError(
    'unknown-image',
    'Nothing is kept for this hash: send the image itself once.',
    { field: 'image.sha256' },
  );
}
