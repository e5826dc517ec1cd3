/** Captions beside requests that were made to hurt them. */
import { decodeEmbeddings, encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { decodeJson, encodeFrame } from '@blip2/shared/frames';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bytes, framesOf, TestWorker } from './testing/test-worker.ts';

let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start();
});
afterAll(() => test?.worker.stop());

/** Names the problem that a reply is, or ends with; null where it is none. */
async function problemOf(response: Response): Promise<unknown> {
  if (response.status !== 200) return response.json();
  const last = (await framesOf(response)).at(-1)!;
  return last.type === 'error' ? decodeJson(last.payload) : null;
}

/** Embeddings of which every value is as large as a float32 can be: finite, until a model computes with them. */
async function hugeEmbeddings(): Promise<Bytes> {
  const { embeddings } = await test.ask(test.generate(), test.image(0));
  const view = new DataView(embeddings!.slice().buffer);
  const shape = { numQueries: view.getUint16(4, true), hidden: view.getUint16(6, true) };
  const { values } = decodeEmbeddings(embeddings!, shape);
  for (const i of values.keys()) values[i] = 3e38 * (-1) ** i;
  return encodeFrame('embeddings', encodeEmbeddings({ ...shape, values }, 'float32'));
}

describe('24 captions', () => {
  const innocents = Array.from({ length: 24 }, (_, i) => ({
    request: () =>
      test.generate({
        client: `innocent ${i}`,
        input_ids: [2, ...Array.from({ length: i % 5 }, (_, j) => 300 + 7 * j + i)],
        generation: GenerationConfig.parse({
          max_tokens: 12,
          logprobs: true,
          repetition_penalty: 1.5,
          ...(i % 3 === 0 ? { temperature: 1, seed: i } : {}),
        }),
      }),
    source: () => test.image(i % 4),
  }));

  /** All replies, with every byte of their tokens. */
  const captionsOf = async (response: Response) => {
    expect(response.status).toBe(200);
    const frames = await framesOf(response);
    expect(frames.at(-1)!.type).toBe('done');
    return frames.filter(({ type }) => type === 'tokens').map(({ payload }) => [...payload]);
  };

  it.each<[string, () => Promise<{ change: object; source: Bytes; slug: string }>]>([
    [
      'that the schema refuses',
      async () => ({
        change: { generation: { max_tokens: 40, repetition_penalty: 1e-300, temperature: 1 } },
        source: test.image(0),
        slug: 'invalid-request',
      }),
    ],
    [
      'that no model can compute',
      async () => ({
        change: { generation: GenerationConfig.parse({ max_tokens: 40, temperature: 1 }) },
        source: await hugeEmbeddings(),
        slug: 'computation-failed',
      }),
    ],
  ])('get the same bytes as alone beside requests %s', async (_name, make) => {
    const alone = [];
    for (const { request, source } of innocents) {
      alone.push(await captionsOf(await test.send(request(), source())));
    }
    const { change, source, slug } = await make();
    const hostile = Array.from({ length: 16 }, async () => {
      return problemOf(
        await test.send({ ...test.generate({ client: 'hostile' }), ...change }, source),
      );
    });
    const together = innocents.map(async ({ request, source }) => {
      return captionsOf(await test.send(request(), source()));
    });
    expect(await Promise.all(together)).toEqual(alone);
    for (const problem of await Promise.all(hostile)) {
      expect(problem).toMatchObject({ type: `/problems/${slug}` });
      expect(JSON.stringify(problem)).not.toMatch(/\.ts:|node_modules|at /);
    }
    expect(test.worker.engine.admitted).toBe(0);
  });

  it('log what no model can compute as an error of ours', async () => {
    const headers = { 'x-request-id': 'huge' };
    await problemOf(await test.send(test.generate(), await hugeEmbeddings(), { headers }));
    expect(await test.linesOf('huge')).toMatchObject([
      { level: 'error', event: 'computation-failed', request_id: 'huge' },
      { level: 'info', event: 'request', outcome: 'computation-failed' },
    ]);
  });
});
