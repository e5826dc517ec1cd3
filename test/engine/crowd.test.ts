/** Sixteen requests at once, while images arrive and others leave: each gets the bytes that it gets alone, in every precision. */
import {
  ensureBundle,
  readGenerativeManifest,
  readRetrievalManifest,
} from '@blip2/gpu-worker/builder/index';
import { Engine } from '@blip2/gpu-worker/engine/engine';
import { loadModels, releaseModels } from '@blip2/gpu-worker/engine/models/load-models';
import type { EngineOptions, Job, JobEvent, Pixels } from '@blip2/gpu-worker/engine/protocol';
import { batches } from '@blip2/gpu-worker/engine/testing/hostile-configs';
import { GenerationConfig } from '@blip2/shared/wire';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readT5Golden } from '../../tools/eval/goldens.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bundles = temporaryFolder();

const embedded = (kind: string) =>
  new URL(`../../gpu-worker/checkpoints/${kind}`, import.meta.url).pathname;
const T5 = readT5Golden('t5').checkpoint;

const pixelsOf = (image: number, size: number): Pixels => ({
  kind: 'pixels',
  key: `image ${image}`,
  pixels: Float32Array.from({ length: 3 * size ** 2 }, (_, i) => Math.sin((image + 1) * i)),
});

/** Greedy, sampled and searched, short and long, about seven images, some of them asked about more than once. */
function jobs(size: number, withRetrieval: boolean): Job[] {
  const generate = (image: number, ids: number, config: Partial<GenerationConfig>): Job => ({
    kind: 'generate',
    source: pixelsOf(image, size),
    inputIds: [2, ...Array.from({ length: ids }, (_, i) => 5 + ((7 * i + image) % 90))],
    config: GenerationConfig.parse({ max_tokens: 9, logprobs: true, top_logprobs: 5, ...config }),
  });
  const all = [
    generate(0, 0, { min_tokens: 9 }),
    generate(1, 3, { repetition_penalty: 1.4, no_repeat_ngram_size: 2 }),
    generate(0, 23, { temperature: 1.1, top_p: 0.9, n: 3, seed: 7 }),
    generate(2, 8, { num_beams: 5, n: 2 }),
    generate(3, 12, { temperature: 0.8, top_k: 12, seed: 3, min_tokens: 4 }),
    generate(3, 1, { num_beams: 2, length_penalty: 2, early_stopping: 'never' }),
    generate(4, 17, { max_tokens: 2 }),
    generate(5, 2, { temperature: 1.5, n: 8, seed: 1 }),
    generate(1, 9, { num_beams: 8, n: 8, max_tokens: 5 }),
    generate(6, 30, { min_tokens: 9 }),
    generate(0, 24, { max_tokens: 1 }),
    generate(6, 31, { temperature: 2, seed: 9 }),
  ];
  const image = (kind: 'query' | 'itc', of: number): Job => {
    return { kind: 'embed', embedding: kind, source: pixelsOf(of, size) };
  };
  const texts = [
    [2, 30, 31, 3],
    [2, 3],
    [2, 40, 41, 42, 43, 44, 3],
    [2, 9, 3],
    [2, 10, 11, 3],
  ];
  if (!withRetrieval) return [...all, image('query', 0), image('query', 9), ...all.slice(0, 2)];
  return [
    ...all,
    image('query', 9),
    image('itc', 0),
    { kind: 'match', source: pixelsOf(1, size), texts },
    { kind: 'embed-texts', texts },
  ];
}

it.each([
  ['the embedded models', 'fp32'],
  ['the embedded models', 'int8'],
  ['the embedded models', 'int4'],
  ['T5', 'int8'],
  ['T5', 'int4'],
] as const)(
  '%s in %s give each of sixteen what it gets alone, log-probabilities too',
  { timeout: 3_600_000 },
  async (name, precision) => {
    const isEmbedded = name === 'the embedded models';
    const bundle = await ensureBundle(isEmbedded ? embedded('generate') : T5, {
      ...{ bundles, precision },
    });
    const manifest = await readGenerativeManifest(bundle);
    const other = isEmbedded
      ? await ensureBundle(embedded('retrieve'), { bundles, precision })
      : undefined;
    const retrieval = other && { bundle: other, manifest: await readRetrievalManifest(other) };
    const options: EngineOptions = {
      ...{ bundle, manifest, ...(retrieval && { retrieval }) },
      ...{ executionProvider: PROVIDER, threads: 1 },
      ...{ maxSlots: 16, prefillChunkTokens: 8, prefixCacheBytes: 2 ** 22 },
    };
    const models = await loadModels(options);
    const asked = jobs(manifest.image.size, isEmbedded);

    const start = () => {
      const events = new Map<number, JobEvent[]>();
      const engine = new Engine(models, options, (id, event) => {
        events.set(id, [...(events.get(id) ?? []), event]);
      });
      const submit = (id: number, job: Job) => {
        engine.submit(id, job, { caller: { client: String(id % 5), priority: 'interactive' } });
      };
      const reply = (id: number) =>
        events.get(id)?.map((event) => (event.type === 'done' ? event.choices : event));
      return { engine, submit, reply };
    };

    const alone: ReturnType<ReturnType<typeof start>['reply']>[] = [];
    for (const job of asked) {
      const { engine, submit, reply } = start();
      submit(0, job);
      while (await engine.advance());
      alone.push(reply(0));
      engine.release();
    }
    for (const reply of alone) expect(reply?.at(-1)).toBeInstanceOf(Array);

    const turn = fc.integer({ min: 0, max: 12 });
    const arrivals = fc.array(turn, { minLength: asked.length, maxLength: asked.length });
    const leaving = fc.array(
      fc.record({ job: fc.integer({ min: 0, max: asked.length - 1 }), at: turn, after: turn }),
      { maxLength: 5 },
    );
    const property = fc.asyncProperty(arrivals, leaving, async (at, strangers) => {
      const { engine, submit, reply } = start();
      for (let now = 0; now <= 24; now++) {
        for (const [id, job] of asked.entries()) if (at[id] === now) submit(id, job);
        for (const [i, stranger] of strangers.entries()) {
          const id = asked.length + i;
          if (stranger.at === now) submit(id, asked[stranger.job] as Job);
          if (stranger.at + stranger.after === now) engine.cancel(id);
        }
        await engine.advance();
      }
      while (await engine.advance());
      engine.release();
      for (const [id, expected] of alone.entries()) expect(reply(id), `${id}`).toEqual(expected);
    });
    const atOnce: [number[], []] = [asked.map(() => 0), []];
    await fc
      .assert(property, { numRuns: batches(2), examples: [atOnce] })
      .finally(() => releaseModels(models));
  },
);
