/** The worker over real HTTP with the real engine on the embedded checkpoint. */
import { Worker } from 'node:worker_threads';
import { decodeEmbeddings } from '@blip2/shared/embedding-codec';
import { decodeJson, encodeFrame, encodeJsonFrame, readFrames } from '@blip2/shared/frames';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { endless, framesOf, TestWorker } from './testing/test-worker.ts';

const MAX_SLOTS = 3;
const QUEUE_LIMIT = 2;
/** Requests that one client may have under way. */
const SHARE = 3;
let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start({ maxSlots: MAX_SLOTS, queueLimit: QUEUE_LIMIT });
});
afterAll(() => test?.worker.stop());

const config = GenerationConfig.parse({ max_tokens: 12 });

describe('a request', () => {
  it('with an image gives its kind, its embeddings, tokens and an end', async () => {
    const reply = await test.ask(test.generate(), test.image(0));
    expect(reply.types.slice(0, 2)).toEqual(['imageInfo', 'embeddings']);
    expect(reply.types.at(-1)).toBe('done');
    expect(reply.last.choices).toMatchObject([{ completion_tokens: reply.tokens.length }]);
    const timings = reply.last.timings_ms as Record<string, number>;
    for (const part of ['queue', 'decode_image', 'vision', 'qformer', 'prefill']) {
      expect(timings[part], part).toBeGreaterThanOrEqual(0);
    }
  });

  it('with the embeddings of the first gives the same tokens without image work', async () => {
    const miss = await test.ask(test.generate(), test.image(1));
    const hit = await test.ask(test.generate(), encodeFrame('embeddings', miss.embeddings!));
    expect(hit.tokens).toEqual(miss.tokens);
    expect(hit.types).not.toContain('embeddings');
    expect(hit.last.timings_ms).not.toHaveProperty('vision');
  });

  it('for embeddings alone gives them and no token', async () => {
    const frames = await framesOf(await test.send(test.embed(), test.image(2)));
    expect(frames.map(({ type }) => type)).toEqual(['imageInfo', 'embeddings', 'done']);
    const shape = new DataView(frames[1]!.payload.slice().buffer);
    const [numQueries, hidden] = [shape.getUint16(4, true), shape.getUint16(6, true)];
    const { values } = decodeEmbeddings(frames[1]!.payload, { numQueries, hidden });
    expect(values.every(Number.isFinite)).toBe(true);
  });

  it('of somebody who waits is announced to the engine while its image is decoded, and one of a job is not', async () => {
    const post = vi.spyOn(Worker.prototype, 'postMessage');
    const typesOf = async (priority: 'interactive' | 'background') => {
      post.mockClear();
      await test.ask(test.generate({ priority }), test.image(0));
      const types = post.mock.calls.map(([message]) => (message as { type: string }).type);
      return types.filter((type) => type === 'expect' || type === 'submit');
    };
    try {
      expect(await typesOf('interactive')).toEqual(['expect', 'submit']);
      expect(await typesOf('background')).toEqual(['submit']);
    } finally {
      post.mockRestore();
    }
  });

  it('leaves its connection open for longer than an edge would', async () => {
    const response = await test.send(test.embed(), test.image(0));
    await response.arrayBuffer();
    expect(response.headers.get('keep-alive')).toBe('timeout=920');
  });

  it('sampled with a seed gives the same tokens twice', async () => {
    const warm = { ...config, temperature: 1.3, top_k: 50, top_p: 0.95 };
    const draw = (seed: number) =>
      test.ask(test.generate({ generation: { ...warm, seed } }), test.image(0));
    const first = await draw(11);
    expect((await draw(11)).tokens).toEqual(first.tokens);
  });
});

describe('requests together', () => {
  it('get the tokens that each gets alone', async () => {
    const requests = [0, 1, 2, 3].map((i) => ({
      request: test.generate({
        input_ids: [2, ...Array.from({ length: 3 * i }, (_, j) => 300 + 7 * j)],
        generation: { ...config, max_tokens: 6 + 3 * i, repetition_penalty: 1.5 },
      }),
      source: test.image(i),
    }));
    const alone = [];
    for (const { request, source } of requests) {
      alone.push((await test.ask(request, source)).tokens);
    }
    const together = await Promise.all(
      requests.map(({ request, source }) => test.ask(request, source)),
    );
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
  });

  it('beyond the slots and the queue get 503 with Retry-After, and those accepted finish', async () => {
    const long = test.generate({ generation: endless(100) });
    const replies = await Promise.all(
      Array.from({ length: 12 }, () => test.send(long, test.image(0))),
    );
    const refused = replies.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]!.headers.get('retry-after')).toBe('1');
    for (const reply of replies.filter(({ status }) => status === 200)) {
      expect((await framesOf(reply)).at(-1)!.type).toBe('done');
    }
    expect(test.worker.engine.admitted).toBe(0);
  });

  it('of one client beyond its part of them get 429 with its limit, and others are served', async () => {
    const long = test.generate({ generation: endless(100), client: 'a' });
    const replies = await Promise.all(
      Array.from({ length: 12 }, () => test.send(long, test.image(0))),
    );
    const refused = replies.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const reply of refused) {
      expect(reply.status).toBe(429);
      expect(reply.headers.get('retry-after')).toBe('1');
      expect(await reply.json()).toMatchObject({
        type: '/problems/too-many-requests',
        limit: SHARE,
      });
    }
    const other = test.generate({ client: 'b' });
    expect((await test.send(other, test.image(0))).status).toBe(200);
    for (const reply of replies.filter(({ status }) => status === 200)) await framesOf(reply);
  });

  it('whose client goes away make room for others', async () => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const long = test.generate({ generation: endless(200) });
    const response = await test.send(long, test.image(0), { signal });
    const reader = response.body!.getReader();
    await reader.read();
    leaving.abort();
    await expect.poll(() => test.worker.engine.admitted, { timeout: 2000 }).toBe(0);
  });
});

describe('a deadline', () => {
  it('that has passed ends a request with a problem', async () => {
    const long = test.generate({ deadline_ms: 1, generation: endless(200) });
    const response = await test.send(long, test.image(3));
    const problem =
      response.status === 200
        ? decodeJson((await framesOf(response)).at(-1)!.payload)
        : await response.json();
    expect(problem).toMatchObject({ type: '/problems/deadline-exceeded' });
    await expect.poll(() => test.worker.engine.admitted).toBe(0);
  });

  it('counts during the upload, too', async () => {
    const upload = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(encodeJsonFrame('request', test.generate({ deadline_ms: 300 })));
        controller.enqueue(test.image(0).subarray(0, 50));
        // The rest never comes.
      },
    });
    const response = await test.post(upload, { duplex: 'half' });
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ type: '/problems/deadline-exceeded' });
  });
});

describe('a worker that is asked to stop', () => {
  it('finishes what runs and accepts nothing more', async () => {
    const other = await TestWorker.start();
    const response = await other.send(other.generate({ generation: endless(100) }), other.image(0));
    const frames = readFrames(response.body as ReadableStream<Uint8Array>);
    await frames.next();
    const stopped = other.worker.stop();
    const rest = await Array.fromAsync(frames);
    expect(rest.at(-1)!.type).toBe('done');
    await stopped;
    await expect(fetch(`${other.worker.url}/healthz`)).rejects.toThrow();
  });
});
