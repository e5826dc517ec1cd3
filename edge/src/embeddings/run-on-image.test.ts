/** Events of the GPU worker about an image, frame by frame: which are passed on, and what they leave in the caches. */
import { imagePathOf } from '@blip2/shared/cache-key';
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import { encodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import { imageIdOf } from '@blip2/shared/image-id';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ImageInput } from '../image/image-source.ts';
import type { RequestContext } from '../request-context.ts';
import { newImage, startEdge, testContext } from '../testing/edge.ts';
import { EMBEDDINGS } from '../testing/fake-gpu.ts';
import { locateEmbeddings, resolveEmbeddings } from './resolve-embeddings.ts';
import { runOnImage } from './run-on-image.ts';

const info: GpuEvent = { type: 'imageInfo', image: { width: 40, height: 30, format: 'png' } };
const embeddings: GpuEvent = { type: 'embeddings', embeddings: EMBEDDINGS };
const done: GpuEvent = { type: 'done', choices: [], timings_ms: {} };
const EMBED = { kind: 'embed', embedding: 'query' } as const;

let image: ImageInput;
let context: RequestContext;
beforeEach(async () => {
  const bytes = newImage();
  image = { id: await imageIdOf(bytes), bytes };
  context = testContext().context;
});

/** An edge whose GPU worker always replies with these events. */
function edgeOf(...events: GpuEvent[]) {
  const bytes = new Blob(events.map((event) => encodeEvent(event)));
  const { deps } = startEdge({ platform: { fetch: async () => new Response(bytes) } });
  const store = deps.stores.query;
  const locate = () => locateEmbeddings(store, image, context);
  const resolve = async () => resolveEmbeddings(store, await locate(), context);
  const run = async (resolved: Awaited<ReturnType<typeof resolve>>) =>
    Array.fromAsync(runOnImage(deps, store, imagePathOf('', image.id), resolved, EMBED, context));
  return { store, locate, resolve, run };
}

describe('an image that is encoded', () => {
  it('is passed on with its embeddings, and both are cached before the end', async () => {
    const { store, resolve, run } = edgeOf(info, embeddings, done);
    expect(await run(await resolve())).toEqual([info, embeddings, done]);
    const lookup = await store.cache.lookup(imagePathOf('', image.id), context);
    expect(lookup).toMatchObject({ kind: 'hit', entry: { embeddings: EMBEDDINGS } });
  });

  const other = encodeEmbeddings(
    { numQueries: 1, hidden: 1, values: new Float32Array(1) },
    'float32',
  );
  it.each<[string, GpuEvent[]]>([
    ['embeddings before the image', [embeddings, info, done]],
    ['the end before the embeddings', [info, done]],
    ['embeddings of another shape', [info, { type: 'embeddings', embeddings: other }, done]],
    [
      'embeddings that are damaged',
      [info, { type: 'embeddings', embeddings: EMBEDDINGS.map((byte) => byte ^ 1) }, done],
    ],
  ])('with %s is a bad gateway, and nothing is cached', async (_what, events) => {
    const { store, resolve, run } = edgeOf(...events);
    await expect(run(await resolve())).rejects.toMatchObject({ slug: 'bad-gateway' });
    expect(await store.cache.lookup(imagePathOf('', image.id), context)).toMatchObject({
      reason: 'absent',
    });
    expect((await resolve()).kind).toBe('encode');
  });
});

describe('an image that is stored', () => {
  it('is read by one request of a client, and waits for nobody who has its bytes', async () => {
    const { store } = edgeOf(info, embeddings, done);
    const stored = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    const begun = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    let reads = 0;
    const read = async () => {
      reads++;
      begun.resolve();
      return await stored.promise;
    };
    const resolve = async (input: ImageInput) =>
      await resolveEmbeddings(store, await locateEmbeddings(store, input, context), context);
    const first = resolve({ id: image.id, read });
    await begun.promise;
    const second = resolve({ id: image.id, read });
    const sent = await resolve(image);
    if (sent.kind !== 'encode') throw new Error('it is cached');
    expect(reads).toBe(1);
    stored.resolve(new Uint8Array(1));
    sent.flight.settle({ image: info.image, embeddings: EMBEDDINGS } as never, over.promise);
    expect(await Promise.all([first, second])).toMatchObject([
      { kind: 'cached' },
      { kind: 'cached' },
    ]);
    expect(reads).toBe(1);
    over.resolve();
  });
});

describe('a request that waits for the encode of another', () => {
  const failing = (slug: 'invalid-image' | 'image-too-large' | 'invalid-request' | 'overloaded') =>
    edgeOf({ type: 'error', problem: new ApiError(slug, 'refused').toProblem() });

  it.each(['invalid-image', 'image-too-large'] as const)(
    'is refused with it for %s',
    async (slug) => {
      const { resolve, run } = failing(slug);
      const leader = await resolve();
      const waiting = expect(resolve()).rejects.toMatchObject({ slug });
      await expect(run(leader)).rejects.toMatchObject({ slug });
      await waiting;
    },
  );

  it.each(['invalid-request', 'overloaded'] as const)(
    'encodes the image itself when the other has the problem %s',
    async (slug) => {
      const { locate, resolve, run, store } = failing(slug);
      const leader = await resolve();
      const located = await locate();
      expect(located.embeddings.kind).toBe('pending');
      const waiting = resolveEmbeddings(store, located, context);
      await expect(run(leader)).rejects.toMatchObject({ slug });
      expect((await waiting).kind).toBe('encode');
    },
  );
});
