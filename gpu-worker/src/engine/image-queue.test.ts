import { GenerationConfig } from '@blip2/shared/wire';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it, vi } from 'vitest';
import { ImageQueue } from './image-queue.ts';
import type { ImageResult } from './image-runner.ts';
import type { EngineModels } from './models/load-models.ts';
import type { Job, Pixels } from './protocol.ts';
import type { Ticket } from './scheduling/fair-queue.ts';
import type { EngineRequest } from './sequence.ts';
import { requestOf } from './testing/groups.ts';

const release = async () => {};

/** Models whose results are plain sums of what they get, and which count their runs. */
function models(
  embeddingTypes: EngineModels['embeddingTypes'] = { generate: 'float32', retrieve: 'float32' },
) {
  const encoderOf = (factor: number) => ({
    encode: vi.fn(async (pixels: Float32Array) => {
      return new Tensor(
        'float32',
        pixels.map((value) => factor * value),
        [1, 1, pixels.length],
      );
    }),
    release,
  });
  const qformer = {
    query: vi.fn(async ({ data }: Tensor, _instruction?: readonly number[]) =>
      (data as Float32Array).map((value) => value + 0.1),
    ),
    readsInstruction: false,
    release,
  };
  const retrieval = {
    imageEmbeddings: vi.fn(async ({ data }: Tensor) => data as Float32Array),
    textEmbeddings: vi.fn(async (texts: readonly (readonly number[])[]) =>
      texts.map((ids) => Float32Array.of(ids[0] ?? 0, 0)),
    ),
    matchProbabilities: vi.fn(async (_: Tensor, texts: readonly (readonly number[])[]) =>
      texts.map((ids) => (ids[0] ?? 0) / 100),
    ),
    release,
  };
  const imageEncoder = { generate: encoderOf(1), retrieve: encoderOf(10) };
  return { imageEncoder, qformer, retrieval, embeddingTypes };
}

const pixels = (key: string): Pixels => ({
  kind: 'pixels',
  key,
  pixels: Float32Array.of(key.length, 1),
});
const generate = (key: string): Job => ({
  kind: 'generate',
  source: pixels(key),
  inputIds: [2],
  config: GenerationConfig.parse({ max_tokens: 1 }),
});
const embed = (key: string, embedding: 'query' | 'itc'): Job => {
  return { kind: 'embed', source: pixels(key), embedding };
};
/** Texts of one id each, which is their number from 1 on. */
const texts = (count: number) => Array.from({ length: count }, (_, i) => [i + 1]);

function enqueue(queue: ImageQueue, id: number, job: Job, ticket?: Ticket): void {
  const source = 'source' in job && job.source.kind === 'pixels' ? job.source : undefined;
  queue.submit(requestOf(id, { job, ...(ticket && { ticket }) }), source);
}

/** Submits jobs, which are numbered in the order in which they go. */
function queueOf(own: ReturnType<typeof models>, ...jobs: Job[]): ImageQueue {
  const queue = new ImageQueue(own);
  for (const [id, job] of jobs.entries()) enqueue(queue, id, job);
  return queue;
}

/** Does the work that is first in line. */
async function advance(queue: ImageQueue): Promise<ImageResult[]> {
  return Array.fromAsync(queue.run(queue.next()!));
}

const idsOf = (results: ImageResult[]) => results.map(({ request }) => request.id);
const typesOf = ({ events }: ImageResult) => events.map(({ type }) => type);

describe('an image with instructions', () => {
  it('goes through the Q-Former once for each of them, in the order of the requests', async () => {
    const own = { ...models(), qformer: { ...models().qformer, readsInstruction: true } };
    const instructed = (job: Job, ...instruction: number[]): Job =>
      ({ ...job, instruction }) as Job;
    const queue = queueOf(
      own,
      instructed(generate('a'), 1, 2),
      instructed(embed('a', 'query'), 1, 3),
      instructed(generate('a'), 1, 2),
    );
    expect(idsOf(await advance(queue))).toEqual([0, 2]);
    expect(idsOf(await advance(queue))).toEqual([1]);
    expect(own.qformer.query.mock.calls.map(([, instruction]) => instruction)).toEqual([
      [1, 2],
      [1, 3],
    ]);
    expect(own.imageEncoder.generate.encode).toHaveBeenCalledTimes(1);
    expect(queue.waiting).toBe(0);
  });
});

describe('an image', () => {
  it('is encoded once for all requests that wait for it', async () => {
    const own = models();
    const queue = queueOf(own, generate('a'), generate('bb'), embed('a', 'query'), generate('a'));
    const work = queue.next()!;
    expect(work.requests.map(({ id }) => id)).toEqual([0, 2, 3]);
    const results = await Array.fromAsync(queue.run(work));
    expect(results.map(typesOf)).toEqual([['embeddings'], ['embeddings', 'done'], ['embeddings']]);
    expect(own.imageEncoder.generate.encode).toHaveBeenCalledTimes(1);
    expect(own.qformer.query).toHaveBeenCalledTimes(1);
    expect(queue.waiting).toBe(1);
    expect(idsOf(await advance(queue))).toEqual([1]);
    expect(queue.next()).toBeNull();
  });

  it('yields the query embeddings of a request that generates, the same that it emits', async () => {
    const [result] = await advance(queueOf(models(), generate('abc')));
    expect(result!.queryEmbeddings).toEqual(Float32Array.of(3.1, 1.1));
    expect(result!.events).toEqual([{ type: 'embeddings', values: result!.queryEmbeddings }]);
  });

  it('yields embeddings as they are cached where those are rounded', async () => {
    const own = models({ generate: 'float16' });
    const [result] = await advance(queueOf(own, generate('abc')));
    const rounded = Float32Array.from(Float16Array.of(3.1, 1.1));
    expect(result!.queryEmbeddings).toEqual(rounded);
    expect(rounded[0]).not.toBe(Math.fround(3.1));
  });

  it('is encoded for each model where their encoders differ', async () => {
    const own = models();
    const queue = queueOf(own, generate('a'), embed('a', 'itc'));
    await advance(queue);
    const [result] = await advance(queue);
    expect(result!.events[0]).toEqual({ type: 'embeddings', values: Float32Array.of(10, 10) });
    expect(own.imageEncoder.generate.encode).toHaveBeenCalledTimes(1);
    expect(own.imageEncoder.retrieve.encode).toHaveBeenCalledTimes(1);
  });

  it('gives each request its result as soon as there is one', async () => {
    const own = models();
    own.imageEncoder.retrieve = own.imageEncoder.generate;
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    own.retrieval.imageEmbeddings.mockImplementation(async ({ data }) => {
      await opened;
      return data as Float32Array;
    });
    const queue = queueOf(own, generate('a'), embed('a', 'itc'));
    const run = queue.run(queue.next()!);
    expect((await run.next()).value).toMatchObject({ request: { id: 0 } });
    const second = run.next();
    open();
    expect((await second).value).toMatchObject({ request: { id: 1 } });
  });

  it('that fails for one request has yielded the results of those before it', async () => {
    const own = models();
    own.imageEncoder.retrieve = own.imageEncoder.generate;
    own.retrieval.imageEmbeddings.mockRejectedValue(new Error('no memory'));
    const queue = queueOf(own, generate('a'), embed('a', 'itc'));
    const run = queue.run(queue.next()!);
    expect((await run.next()).value).toMatchObject({ request: { id: 0 } });
    expect((await run.next()).value).toMatchObject({
      request: { id: 1 },
      failure: { slug: 'computation-failed', cause: { message: 'no memory' } },
    });
    expect(queue.waiting).toBe(0);
  });

  it.each<[string, 'qformer' | 'itc', number[]]>([
    ['ITC fails goes on for requests that need the query embeddings', 'itc', [0, 2]],
    ['the Q-Former fails goes on for requests that need ITC', 'qformer', [1, 3]],
  ])('of which %s, whoever is first', async (_name, part, served) => {
    const own = models();
    own.imageEncoder.retrieve = own.imageEncoder.generate;
    const failing = part === 'itc' ? own.retrieval.imageEmbeddings : own.qformer.query;
    failing.mockRejectedValue(new Error('no memory'));
    const match: Job = { kind: 'match', source: pixels('a'), texts: texts(1) };
    const queue = queueOf(own, generate('a'), embed('a', 'itc'), embed('a', 'query'), match);
    const results = await advance(queue);
    expect(idsOf(results)).toEqual([0, 1, 2, 3]);
    expect(idsOf(results.filter(({ failure }) => failure === undefined))).toEqual(served);
    expect(failing).toHaveBeenCalledTimes(1);
  });

  it('that cannot be encoded fails for all requests for it, and no others', async () => {
    const own = models();
    own.imageEncoder.generate.encode.mockRejectedValueOnce(new Error('no memory'));
    const queue = queueOf(own, generate('a'), generate('bb'), embed('a', 'query'));
    const results = await advance(queue);
    expect(idsOf(results)).toEqual([0, 2]);
    for (const { failure } of results) expect(failure?.slug).toBe('computation-failed');
    expect((await advance(queue))[0]!.failure).toBeUndefined();
  });
});

describe('a comparison', () => {
  it('that fails ends its own request alone', async () => {
    const own = models();
    own.retrieval.matchProbabilities.mockRejectedValueOnce(new Error('no memory'));
    const match = (count: number): Job => {
      return { kind: 'match', source: pixels('a'), texts: texts(count) };
    };
    const queue = queueOf(own, match(2), match(1));
    await advance(queue);
    expect((await advance(queue))[0]).toMatchObject({
      request: { id: 0 },
      failure: { slug: 'computation-failed' },
    });
    queue.remove(0);
    expect(typesOf((await advance(queue))[0]!)).toEqual(['scores', 'done']);
  });
});

describe('texts', () => {
  it('are embedded a few at a time, and returned all at once', async () => {
    const own = models();
    const queue = queueOf(own, { kind: 'embed-texts', texts: texts(6) });
    expect((await advance(queue)).map(typesOf)).toEqual([[]]);
    expect(queue.waiting).toBe(1);
    const [result] = await advance(queue);
    expect(own.retrieval.textEmbeddings.mock.calls.map(([some]) => some.length)).toEqual([4, 2]);
    expect(typesOf(result!)).toEqual(['texts', 'done']);
    expect(result!.events[0]).toEqual({
      type: 'texts',
      embeddings: texts(6).map(([id]) => Float32Array.of(id!, 0)),
    });
    expect(queue.waiting).toBe(0);
  });

  it('are compared with an image once it is encoded', async () => {
    const own = models();
    const queue = queueOf(own, { kind: 'match', source: pixels('ab'), texts: texts(5) });
    const [encoded] = await advance(queue);
    expect(encoded).toMatchObject({ request: { id: 0 }, events: [] });
    await advance(queue);
    const [result] = await advance(queue);
    // The image's vector is (20, 10), a text's (id, 0).
    const scores = texts(5).map(([id]) => ({ itm: id! / 100, itc: 20 * id! }));
    expect(result!.events[0]).toEqual({ type: 'scores', scores });
    expect(own.retrieval.imageEmbeddings).toHaveBeenCalledTimes(1);
    expect(result!.request.timings).toMatchObject({
      vision: expect.any(Number),
      match: expect.any(Number),
    });
  });

  it('wait in one queue with the images', async () => {
    const queue = queueOf(
      models(),
      generate('a'),
      { kind: 'embed-texts', texts: texts(1) },
      generate('bb'),
    );
    const order: number[] = [];
    for (let work = queue.next(); work !== null; work = queue.next()) {
      order.push(...work.requests.map(({ id }) => id));
      await Array.fromAsync(queue.run(work));
    }
    expect(order).toEqual([0, 1, 2]);
  });

  it('of which a request has many take turns with images that come after them', async () => {
    const later = (request: EngineRequest) => {
      request.ticket = { ...request.ticket, start: request.ticket.start + 1 };
    };
    const queue = new ImageQueue(models(), later);
    const submit = (id: number, job: Job, start: number) =>
      enqueue(queue, id, job, { rank: 0, start, cost: 1, arrival: id });
    submit(0, { kind: 'embed-texts', texts: texts(64) }, 0);
    const order: number[] = [];
    for (let i = 1; i <= 4; i++) {
      // As a client gets its place that comes when so much was served.
      submit(i, generate('a'.repeat(i)), i - 1);
      for (let items = 0; items < 2; items++) {
        const work = queue.next()!;
        order.push(...work.requests.map(({ id }) => id));
        await Array.fromAsync(queue.run(work));
      }
    }
    expect(order).toEqual([0, 1, 0, 2, 0, 3, 0, 4]);
  });

  it('fail where no retrieval model is loaded', async () => {
    const { retrieval: _, ...own } = models();
    const queue = new ImageQueue(own);
    enqueue(queue, 1, { kind: 'embed-texts', texts: texts(1) });
    const [result] = await advance(queue);
    expect(result!.failure).toMatchObject({
      slug: 'computation-failed',
      cause: { message: 'no retrieval model is loaded' },
    });
  });
});

describe('background work', () => {
  const job: Ticket = { rank: 1, start: 0, cost: 1, arrival: 0 };
  const nobody = () => false;

  it.each<[string, Job]>([
    ['an image', generate('job')],
    ['texts', { kind: 'embed-texts', texts: texts(1) }],
  ])('has its turn with %s while no image of people may run', (_name, own) => {
    const queue = queueOf(models(), generate('person'));
    enqueue(queue, 1, own, job);
    expect(queue.hasNext('interactive', nobody)).toBe(false);
    expect(queue.hasNext('background', nobody)).toBe(true);
    expect(queue.next(nobody)!.requests.map(({ id }) => id)).toEqual([1]);
    expect(queue.next()!.requests.map(({ id }) => id)).toEqual([0]);
  });

  it('has the turn that it is given before others', () => {
    const queue = queueOf(models(), generate('person'));
    enqueue(queue, 1, generate('job'), job);
    expect(queue.next(undefined, 'background')!.requests.map(({ id }) => id)).toEqual([1]);
    expect(queue.next(undefined, 'background')).toBeNull();
    expect(queue.hasNext('interactive')).toBe(true);
  });
});

describe('a request that is removed', () => {
  it('gets no result, wherever it waits', async () => {
    const match: Job = { kind: 'match', source: pixels('a'), texts: texts(9) };
    const queue = queueOf(models(), match, generate('bb'), {
      kind: 'embed-texts',
      texts: texts(1),
    });
    await advance(queue);
    for (const id of [0, 1, 2]) queue.remove(id);
    expect(queue.waiting).toBe(0);
    expect(queue.next()).toBeNull();
  });
});
