import { describe, expect, it } from 'vitest';
import { newImage, startEdge, type TestSetup } from './testing/edge.ts';
import { WorkInHand, type WorkPlace, waitOutside } from './work-in-hand.ts';

describe('places', () => {
  it('are so many, and free again when they are left', () => {
    const work = new WorkInHand(2);
    const [first] = [work.take(), work.take()];
    expect(() => work.take()).toThrow('try again');
    first.leave();
    first.leave();
    using _second = work.take();
    expect(() => work.take()).toThrow('try again');
  });

  it('of requests that were stopped are free after some seconds', () => {
    let now = 0;
    const work = new WorkInHand(2, () => now);
    const stopped = work.take();
    now = 1500;
    work.take();
    now = 3000;
    work.take();
    expect(() => work.take()).toThrow('try again');
    // Nothing that it says later frees the place of another.
    stopped.leave();
    expect(() => work.take()).toThrow('try again');
    expect(() => stopped.take()).toThrow('try again');
  });

  it('of a client whose connection is reset are free at once', () => {
    const work = new WorkInHand(1);
    const client = new AbortController();
    work.take(client.signal);
    client.abort();
    using _other = work.take();
  });

  it('of a request that goes on without its client are taken until its end', () => {
    const work = new WorkInHand(1);
    const client = new AbortController();
    const place = work.take(client.signal);
    place.leave();
    place.takeAnyway();
    client.abort();
    expect(() => work.take()).toThrow('try again');
    place.leave();
    using _other = work.take();
  });

  it('of one client alone are half of all, and a third of all where there are two', () => {
    const work = new WorkInHand(12);
    const most = (client: string) => {
      for (let taken = 0; ; taken++) {
        const place = work.take();
        try {
          place.countAs(client);
        } catch (thrown) {
          expect(thrown).toMatchObject({ slug: 'too-many-requests', extras: { limit: taken } });
          // It is not taken for nothing.
          expect(place.leave()).toBe(false);
          return taken;
        }
      }
    };
    expect(most('greedy')).toBe(6);
    expect(most('other')).toBe(3);
    using place = work.take();
    place.countAs('light');
  });

  it('say to those whom nobody tells apart that they are not alone', () => {
    const work = new WorkInHand(2);
    using _first = work.take(undefined, 'unnamed');
    const detail =
      'Those whose address is not known together have 1 requests under way, as many as one may have now.';
    expect(() => work.take(undefined, 'unnamed')).toThrow(detail);
  });

  it('are shared among addresses before, and among keys once they are found', () => {
    const work = new WorkInHand(4);
    using _first = work.take(undefined, 'address');
    using second = work.take(undefined, 'address');
    expect(() => work.take(undefined, 'address')).toThrow('has 2 requests');
    second.countAs('address');
    second.countAs('key');
    using third = work.take(undefined, 'other');
    expect(() => work.take(undefined, 'other')).toThrow('has 1 requests');
    expect(() => third.countAs('key')).not.toThrow();
  });

  it('are not taken again for a request that has its reply', () => {
    const work = new WorkInHand(1);
    const late = work.take();
    late[Symbol.dispose]();
    late.take();
    using _other = work.take();
    expect(() => work.take()).toThrow('try again');
  });

  it('that were left before a wait stay left after it', async () => {
    const work = new WorkInHand(1);
    const place = work.take();
    expect(place.leave()).toBe(true);
    using _other = work.take();
    expect(await waitOutside(place, Promise.resolve(1))).toBe(1);
    expect(place.leave()).toBe(false);
  });
});

/** An edge that works on one request at a time. */
function narrow(setup: TestSetup = {}) {
  const edge = startEdge(setup);
  edge.deps.work = new WorkInHand(1);
  const isFree = async () => (await edge.request('/v1/models')).status === 200;
  return { ...edge, isFree };
}

describe('an edge with all that it can do in hand', () => {
  const taken = () => {
    const edge = narrow();
    const place: WorkPlace = edge.deps.work.take();
    return { ...edge, place };
  };

  it('refuses others before it does anything for them', async () => {
    const { request, post, gpu, place } = taken();
    const refused = await post('/v1/captions', newImage());
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.json()).toMatchObject({ type: '/problems/overloaded' });
    expect(gpu.received).toEqual([]);
    place.leave();
    expect((await request('/v1/models')).status).toBe(200);
  });

  it('does so in the words of each dialect', async () => {
    const { request, post } = taken();
    expect(await (await request('/v1/models')).json()).toMatchObject({
      error: { type: 'server_error' },
    });
    // That client would try a 503 for ever.
    expect((await post('/hf/models/any', newImage())).status).not.toBe(503);
  });

  it('still says that it lives', async () => {
    const { request } = taken();
    expect((await request('/healthz')).status).toBe(200);
  });
});

describe('a request holds no place', () => {
  it('while its body comes', async () => {
    const { post, request, isFree } = narrow();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const slow = request('/v1/captions', { method: 'POST', body: readable });
    const image = newImage();
    await writer.write(image.subarray(0, 20));
    expect(await isFree()).toBe(true);
    await writer.write(image.subarray(20));
    await writer.close();
    expect((await slow).status).toBe(200);
    expect((await post('/v1/captions', newImage())).status).toBe(200);
  });

  it('while it waits for the GPU worker', async () => {
    const { post, gpu, isFree } = narrow();
    const start = Promise.withResolvers<void>();
    gpu.script.start = start.promise;
    const waiting = post('/v1/captions', newImage());
    await expect.poll(() => gpu.received.length).toBe(1);
    expect(await isFree()).toBe(true);
    start.resolve();
    expect((await waiting).status).toBe(200);
  });

  it('while another request has its image encoded', async () => {
    const { post, gpu, isFree } = narrow();
    const start = Promise.withResolvers<void>();
    gpu.script.start = start.promise;
    const image = newImage();
    const leading = post('/v1/embeddings', image);
    await expect.poll(() => gpu.received.length).toBe(1);
    const following = post('/v1/embeddings', image);
    // It has a place until it waits.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await isFree()).toBe(true);
    expect(gpu.received).toHaveLength(1);
    start.resolve();
    expect([(await leading).status, (await following).status]).toEqual([200, 200]);
  });

  it('while another encodes its image, and needs one again for what comes after it', async () => {
    const { post, gpu, deps } = narrow();
    const start = Promise.withResolvers<void>();
    gpu.script.start = start.promise;
    const image = newImage();
    const leading = post('/v1/embeddings', image);
    await expect.poll(() => gpu.received.length).toBe(1);
    const crowd = Array.from({ length: 5 }, () => post('/v1/embeddings', image));
    await new Promise((resolve) => setTimeout(resolve, 100));
    using _other = deps.work.take();
    start.resolve();
    expect((await leading).status).toBe(200);
    const refused = (await Promise.all(crowd)).filter(({ status }) => status === 503);
    expect(refused).toHaveLength(5);
  });

  it('while its image is fetched', async () => {
    const image = Promise.withResolvers<Response>();
    const asked = Promise.withResolvers<void>();
    const { gpu, deps, post, isFree } = narrow();
    deps.fetch = async (url, init) => {
      if (!String(url).startsWith('https://images.example/')) return await gpu.fetch(url, init);
      asked.resolve();
      return await image.promise;
    };
    const fetching = post('/v1/captions', { image: { url: 'https://images.example/a.png' } });
    await asked.promise;
    expect(await isFree()).toBe(true);
    image.resolve(new Response(newImage()));
    expect((await fetching).status).toBe(200);
  });

  it('while it waits for the reply to another with its Idempotency-Key', async () => {
    const { post, gpu, deps } = narrow();
    // As many as let two of one client in.
    deps.work = new WorkInHand(4);
    const start = Promise.withResolvers<void>();
    gpu.script.start = start.promise;
    const image = newImage();
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const both = [post('/v1/captions', image, headers), post('/v1/captions', image, headers)];
    await expect.poll(() => gpu.received.length).toBe(1);
    // All places are free once both wait.
    await expect
      .poll(() => {
        using all = new DisposableStack();
        for (let n = 0; n < 4; n++) all.use(deps.work.take());
        return true;
      })
      .toBe(true);
    start.resolve();
    for (const reply of both) expect((await reply).status).toBe(200);
  });

  it('after its reply, whatever is still sent of it', async () => {
    const { post, gpu, isFree } = narrow();
    const token = Promise.withResolvers<void>();
    gpu.script.token = () => token.promise;
    const streamed = await post('/v1/captions?stream=true', newImage());
    expect(await isFree()).toBe(true);
    token.resolve();
    expect(await streamed.text()).toContain('event: done');
  });
});
