/** `DELETE /v1/images/{sha256}` on the real KV and cache: several isolates and locations, and encodes under way. */
import { imagePathOf, imagePrefix } from '@blip2/shared/cache-key';
import { imageIdOf } from '@blip2/shared/image-id';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  base64,
  newImage,
  startEdge,
  type TestEdge,
  type TestSetup,
  testEnv,
} from '../testing/edge.ts';

const OPEN = { ALLOW_ANONYMOUS_DELETE: 'true' };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const kv = testEnv.EMBEDDINGS;

/** An isolate, at the location of the others unless it has another cache. */
const isolate = (setup: TestSetup = {}) => startEdge({ ...setup, env: { ...OPEN, ...setup.env } });

let edge: TestEdge;
let bytes: Uint8Array<ArrayBuffer>;
let sha256: string;
beforeEach(async () => {
  edge = isolate();
  bytes = newImage();
  sha256 = await imageIdOf(bytes);
});

const send = (at = edge) => at.post('/v1/captions', { image: { data: base64(bytes) } });
const ask = (at = edge) => at.post('/v1/captions', { image: { sha256 } });
const read = (kind = 'query', at = edge) => at.request(`/v1/embeddings/${sha256}?kind=${kind}`);
const remove = (at = edge) => at.request(`/v1/images/${sha256}`, { method: 'DELETE' });
const stored = async () => (await kv.list({ prefix: imagePrefix(imagePathOf('', sha256)) })).keys;

describe('an image that was deleted', () => {
  it('is unknown by its hash, of every kind, and KV has nothing of it', async () => {
    await send();
    await edge.post('/v1/embeddings', { image: { data: base64(bytes) }, kind: 'itc' });
    await edge.settled();
    expect(await stored()).toHaveLength(2);
    const response = await remove();
    expect(response.status).toBe(204);
    expect(await response.text()).toBe('');
    expect(await stored()).toHaveLength(0);
    for (const reply of [await ask(), await read(), await read('itc')]) {
      expect(reply.status).toBe(404);
      expect(await reply.json()).toMatchObject({ type: '/problems/unknown-image' });
    }
    expect(edge.gpu.dropped).toEqual([`/v1/images/${sha256}`]);
  });

  it('is deleted of former revisions, too', async () => {
    const key = `${imagePrefix(imagePathOf('', sha256))}qf/former/1/instruction`;
    await kv.put(key, 'anything');
    await remove();
    expect(await kv.get(key)).toBeNull();
  });

  it('is known again once it is sent again', async () => {
    await send();
    await remove();
    await send();
    await edge.settled();
    expect((await ask()).status).toBe(200);
    expect((await ask(isolate())).status).toBe(200);
  });

  it('may be deleted again, as one that was never there may: the reply is the same', async () => {
    await send();
    const replies = [await remove(), await remove(), await remove(isolate())];
    for (const { status, headers } of replies) {
      expect([status, headers.get('cache-control')]).toEqual([204, 'no-store']);
    }
  });

  it('is deleted by its hash in capitals, and no text that is none is a hash', async () => {
    await send();
    const path = `/v1/images/${sha256.toUpperCase()}`;
    expect((await edge.request(path, { method: 'DELETE' })).status).toBe(204);
    expect((await ask()).status).toBe(404);
    const wrong = await edge.request('/v1/images/x', { method: 'DELETE' });
    expect(wrong.status).toBe(400);
    expect(await wrong.json()).toMatchObject({ field: 'sha256' });
  });

  it('leaves other images alone', async () => {
    const other = newImage();
    await edge.post('/v1/captions', { image: { data: base64(other) } });
    await remove();
    const byHash = { image: { sha256: await imageIdOf(other) } };
    expect((await edge.post('/v1/captions', byHash)).status).toBe(200);
  });
});

describe('an encode under way when its image is deleted', () => {
  it('is answered, and leaves nothing behind', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const sent = send();
    await edge.gpu.untilReceived(1);
    expect((await remove()).status).toBe(204);
    gate.resolve();
    expect((await sent).status).toBe(200);
    expect((await ask()).status).toBe(404);
    await edge.settled();
    expect(await stored()).toHaveLength(0);
    expect((await ask()).status).toBe(404);
    expect((await ask(isolate())).status).toBe(404);
  });

  it('is not joined by a request that comes after the deletion', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const sent = send();
    await edge.gpu.untilReceived(1);
    const { flights } = edge.deps.stores.query;
    expect(flights.follow(imagePathOf('', sha256))).not.toBeNull();
    await remove();
    expect(flights.follow(imagePathOf('', sha256))).toBeNull();
    expect((await ask()).status).toBe(404);
    gate.resolve();
    await sent;
    await edge.settled();
  });

  it('leaves nothing behind in another isolate, either', async () => {
    const other = isolate();
    const gate = Promise.withResolvers<void>();
    other.gpu.script.start = gate.promise;
    const sent = send(other);
    await other.gpu.untilReceived(1);
    await remove(edge);
    gate.resolve();
    expect((await sent).status).toBe(200);
    await other.settled();
    expect(await stored()).toHaveLength(0);
    expect((await ask(other)).status).toBe(404);
  });

  it('does not take along what was sent again and joined it', async () => {
    const other = isolate();
    const gate = Promise.withResolvers<void>();
    other.gpu.script.start = gate.promise;
    const sent = send(other);
    await other.gpu.untilReceived(1);
    await remove(edge);
    const { flights } = other.deps.stores.query;
    const follow = vi.spyOn(flights, 'follow');
    const again = send(other);
    await expect.poll(() => follow.mock.calls.length).toBeGreaterThan(0);
    gate.resolve();
    expect([(await sent).status, (await again).status]).toEqual([200, 200]);
    expect(other.gpu.received.filter(({ request }) => request.kind === 'generate')).toHaveLength(2);
    await other.settled();
    expect(await stored()).toHaveLength(1);
    expect((await ask(isolate())).status).toBe(200);
  });

  it('does not take along what was sent again meanwhile', async () => {
    const other = isolate();
    const gate = Promise.withResolvers<void>();
    other.gpu.script.start = gate.promise;
    const sent = send(other);
    await other.gpu.untilReceived(1);
    await remove(edge);
    await send(edge);
    await edge.settled();
    gate.resolve();
    await sent;
    await other.settled();
    expect((await ask(edge)).status).toBe(200);
  });
});

describe('what KV still has', () => {
  /** KV as a location may see it: entries that were deleted elsewhere are still read. */
  const late = async () => {
    const old = new Map(
      await Promise.all(
        (await stored()).map(async ({ name }) => {
          return [name, await kv.getWithMetadata(name, 'arrayBuffer')] as const;
        }),
      ),
    );
    const EMBEDDINGS = new Proxy(kv, {
      get: (target, name) => {
        const method = Reflect.get(target, name).bind(target);
        if (name !== 'getWithMetadata') return method;
        return async (key: string, type: string) => old.get(key) ?? (await method(key, type));
      },
    });
    return { EMBEDDINGS };
  };

  it('is not used by the isolate that has deleted it', async () => {
    await send();
    await edge.settled();
    const deleting = isolate({ env: await late() });
    await remove(deleting);
    expect((await ask(deleting)).status).toBe(404);
  });
});

describe('other locations', () => {
  const start = Date.now();
  let clock = start;
  const now = () => clock;
  beforeEach(() => {
    clock = Date.now();
  });
  /** Whole replies are cached before their embeddings are asked for: where these are meant, they are not. */
  const withoutReplies = { REPLY_TTL_HOURS: '0' };
  const elsewhere = async (name: string, env: TestSetup['env'] = withoutReplies) =>
    isolate({ env, platform: { coloCache: await caches.open(name), now } });

  it('no longer use what they have after two minutes', async () => {
    await send();
    await edge.settled();
    const other = await elsewhere('elsewhere');
    expect(await (await ask(other)).json()).toMatchObject({ cache: 'kv' });
    await other.settled();
    expect(await (await ask(await elsewhere('elsewhere'))).json()).toMatchObject({ cache: 'colo' });
    await remove(edge);
    // An isolate that has just learned when the last deletion was does not ask again at once.
    clock += 2 * MINUTE;
    expect((await ask(other)).status).toBe(404);
    expect((await ask(await elsewhere('elsewhere'))).status).toBe(404);
  });

  it('no longer replay what was written there', async () => {
    await send();
    await edge.settled();
    const other = await elsewhere('fourth', {});
    await ask(other);
    await other.settled();
    const third = await elsewhere('fourth', {});
    expect(await (await ask(third)).json()).toMatchObject({ cache: 'reply' });
    await third.settled();
    await remove(edge);
    clock += 2 * MINUTE;
    expect((await ask(other)).status).toBe(404);
    expect((await ask(await elsewhere('fourth', {}))).status).toBe(404);
  });

  it('that still have embeddings in memory store no reply that is made of them', async () => {
    await send();
    await edge.settled();
    // As the object of a prediction: the same location, and a memory of its own.
    const holder = isolate({ env: { CACHE_REPLIES_IN_KV: 'true' } });
    await ask(holder);
    await holder.settled();
    await remove(edge);
    const question = { image: { sha256 }, question: 'what is it?' };
    expect(await (await holder.post('/v1/answers', question)).json()).toMatchObject({
      cache: 'colo',
    });
    await holder.settled();
    expect((await isolate().post('/v1/answers', question)).status).toBe(404);
    expect((await kv.list({ prefix: `replies/${imagePathOf('', sha256)}` })).keys).toEqual([]);
    // It has learned of the deletion by then.
    expect((await holder.post('/v1/answers', question)).status).toBe(404);
  });

  it('that still have embeddings in memory remember no text under the id of its message', async () => {
    await send();
    await edge.settled();
    const holder = isolate();
    await ask(holder);
    await holder.settled();
    await remove(edge);
    const content = [
      { type: 'input_text', text: 'what is it?' },
      { type: 'input_image', image_url: sha256 },
    ];
    const input = [{ role: 'user', content }];
    const model = edge.deps.models.generate.name;
    const idOf = async (response: Response) =>
      ((await response.json()) as { output: [{ id: string }] }).output[0].id;
    const refer = (id: string) =>
      edge.post('/v1/responses', {
        model,
        input: [...input, { type: 'item_reference', id }, { role: 'user', content: 'red?' }],
      });
    const id = await idOf(await holder.post('/v1/responses', { model, input }));
    await holder.settled();
    await send();
    expect((await refer(id)).status).toBe(400);
    const later = await idOf(await edge.post('/v1/responses', { model, input }));
    expect((await refer(later)).status).toBe(200);
  });

  it('replay what is about other images, as long as it is verified often enough', async () => {
    await send();
    await edge.settled();
    const cacheAt = async () => {
      const other = await elsewhere('fifth', { REPLY_TTL_HOURS: '100' });
      const reply = (await (await ask(other)).json()) as { cache: string };
      await other.settled();
      return reply.cache;
    };
    expect(await cacheAt()).toBe('kv');
    clock += MINUTE;
    await edge.request(`/v1/images/${'1'.repeat(64)}`, { method: 'DELETE' });
    expect(await cacheAt()).toBe('reply');
    clock += 24 * HOUR;
    expect(await cacheAt()).toBe('reply');
    clock += 24 * HOUR;
    expect(await cacheAt()).toBe('reply');
    const deleting = isolate({ platform: { now: () => clock++ } });
    await deleting.request(`/v1/images/${'2'.repeat(64)}`, { method: 'DELETE' });
    // By then a tombstone of its own would have expired unseen.
    clock += 26 * HOUR;
    expect(await cacheAt()).not.toBe('reply');
  });

  it('go on with what was not deleted, and have it of the location again when KV is surely up to date', async () => {
    await send();
    await edge.settled();
    const cacheAt = async (other: TestEdge) => {
      const reply = (await (await ask(other)).json()) as { cache: string };
      await other.settled();
      return reply.cache;
    };
    expect(await cacheAt(await elsewhere('third'))).toBe('kv');
    await edge.request(`/v1/images/${'3'.repeat(64)}`, { method: 'DELETE' });
    clock += MINUTE;
    expect(await cacheAt(await elsewhere('third'))).toBe('kv');
    clock += 2 * MINUTE;
    expect(await cacheAt(await elsewhere('third'))).toBe('kv');
    expect(await cacheAt(await elsewhere('third'))).toBe('colo');
  });

  it('ask KV for deletions at most once in half a minute, whatever is looked up', async () => {
    let asked = 0;
    const counting = new Proxy(kv, {
      get: (target, name) => {
        const method = Reflect.get(target, name).bind(target);
        return (...args: unknown[]) => {
          if (name === 'get' && String(args[0]).startsWith('deletions/')) asked++;
          return method(...args);
        };
      },
    });
    const images = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const image = newImage();
        await edge.post('/v1/captions', { image: { data: base64(image) } });
        return { image: { sha256: await imageIdOf(image) } };
      }),
    );
    await edge.settled();
    const other = isolate({
      env: { ...withoutReplies, EMBEDDINGS: counting },
      platform: { now },
    });
    for (const image of images) await other.post('/v1/captions', image);
    expect(asked).toBe(1);
    clock += 45_000;
    for (const image of images) await other.post('/v1/captions', image);
    expect(asked).toBeLessThanOrEqual(2);
    await other.settled();
  });
});

describe('a deletion that cannot be complete', () => {
  it('says so when KV is down, and deletes when it is called again', async () => {
    await send();
    await edge.settled();
    const EMBEDDINGS = new Proxy(kv, {
      get: () => () => Promise.reject(new Error('KV is down')),
    });
    const response = await remove(isolate({ env: { EMBEDDINGS, CACHE_TIMEOUT_MS: '50' } }));
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ type: '/problems/cache-unavailable' });
    expect((await remove()).status).toBe(204);
    expect(await stored()).toHaveLength(0);
  });

  it('says so when the GPU worker is gone, after it has deleted all else', async () => {
    await send();
    await edge.settled();
    edge.gpu.script.isGone = true;
    const response = await remove();
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ type: '/problems/worker-unavailable' });
    expect(await stored()).toHaveLength(0);
    expect((await ask()).status).toBe(404);
  });

  it('says so when there are more entries than one call deletes', async () => {
    const prefix = imagePrefix(imagePathOf('', sha256));
    await Promise.all(
      Array.from({ length: 400 }, (_, at) => kv.put(`${prefix}qf/r/p/${at}`, 'anything')),
    );
    const response = await remove();
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ retry_after: 1 });
    expect((await remove()).status).toBe(204);
    expect(await stored()).toHaveLength(0);
  }, 60_000);

  it('is refused to callers without a key, unless the operator allows it to all', async () => {
    await send();
    const closed = startEdge({ env: { ALLOW_ANONYMOUS_DELETE: '' } });
    const response = await remove(closed);
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ type: '/problems/deletion-refused' });
    expect((await ask()).status).toBe(200);
  });
});
