/** Real models: fixed requests get the same bytes beside strangers whose options and embeddings stand at their extremes. */
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { Engine } from '@blip2/gpu-worker/engine/engine';
import { loadModels, releaseModels } from '@blip2/gpu-worker/engine/models/load-models';
import type { EngineOptions, JobEvent } from '@blip2/gpu-worker/engine/protocol';
import {
  allowedConfig,
  batches,
  forbiddenConfig,
} from '@blip2/gpu-worker/engine/testing/hostile-configs';
import { GenerationConfig } from '@blip2/shared/wire';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readGolden, readT5Golden } from '../../tools/eval/goldens.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bundles = temporaryFolder();

/** `scale` of the embeddings: with the largest, a model computes NaN and infinity. */
type Request = { image: number; scale: number; ids: number[]; config: GenerationConfig };

const LARGEST = 3.4e38;

const victim = (image: number, ids: number[], config: Partial<GenerationConfig>): Request => ({
  image,
  ids,
  scale: 1,
  config: GenerationConfig.parse({ max_tokens: 8, ...config }),
});

const VICTIMS = [
  victim(0, [2, 30, 31, 32, 33], { min_tokens: 8, logprobs: true, top_logprobs: 5 }),
  victim(1, [2, 30], {
    min_tokens: 8,
    temperature: 1.2,
    top_p: 0.9,
    n: 2,
    seed: 7,
    logprobs: true,
  }),
  victim(2, [2], { num_beams: 3, n: 2, logprobs: true }),
];

const stranger = fc.record({
  image: fc.integer({ min: 0, max: 3 }),
  scale: fc.constantFrom(1, 1, 0, 1e5, 1e30, LARGEST),
  ids: fc.array(fc.integer({ min: 5, max: 99 }), { maxLength: 9 }).map((rest) => [2, 30, ...rest]),
  config: fc.oneof(allowedConfig, allowedConfig, forbiddenConfig),
  at: fc.integer({ min: 0, max: 6 }),
});

const CHECKPOINTS = {
  'the embedded model': new URL('../../gpu-worker/checkpoints/generate', import.meta.url).pathname,
  OPT: readGolden('tied').checkpoint,
  T5: readT5Golden('t5').checkpoint,
};

it.each([
  ['the embedded model', 'fp32'],
  ['OPT', 'int8'],
  ['T5', 'fp32'],
] as const)(
  '%s in %s refuses what it cannot compute, and beside strangers replies as it does alone',
  { timeout: 3_600_000 },
  async (name, precision) => {
    const bundle = await ensureBundle(CHECKPOINTS[name], { bundles, precision });
    const manifest = await readGenerativeManifest(bundle);
    const options: EngineOptions = {
      ...{ bundle, manifest, executionProvider: PROVIDER, threads: 1 },
      ...{ maxSlots: 16, prefillChunkTokens: 4, prefixCacheBytes: 2 ** 18 },
    };
    const models = await loadModels(options);
    const width = manifest.num_query_tokens * manifest.qformer_hidden;

    const start = () => {
      const events = new Map<number, JobEvent[]>();
      const engine = new Engine(models, options, (id, event) => {
        events.set(id, [...(events.get(id) ?? []), event]);
      });
      const submit = (id: number, { image, scale, ids, config }: Request) => {
        const values = Float32Array.from(
          { length: width },
          (_, i) => scale * Math.sin((image + 2) * i),
        );
        const source = { kind: 'embeddings', values } as const;
        const caller = { client: String(id), priority: 'interactive' } as const;
        engine.submit(id, { kind: 'generate', source, inputIds: ids, config }, { caller });
      };
      const reply = (id: number) =>
        events.get(id)?.map((event) => (event.type === 'done' ? event.choices : event));
      return { engine, submit, reply, events };
    };

    const alone: ReturnType<ReturnType<typeof start>['reply']>[] = [];
    for (const request of VICTIMS) {
      const { engine, submit, reply } = start();
      submit(0, request);
      while (await engine.advance());
      alone.push(reply(0));
      engine.release();
    }

    const { engine, submit, events } = start();
    submit(0, { ...victim(0, [2], {}), scale: LARGEST });
    while (await engine.advance());
    engine.release();
    expect(events.get(0)).toMatchObject([{ type: 'failed', slug: 'computation-failed' }]);

    const property = fc.asyncProperty(
      fc.array(stranger, { minLength: 1, maxLength: 6 }),
      async (strangers) => {
        const { engine, submit, reply, events } = start();
        for (const [id, request] of VICTIMS.entries()) submit(id, request);
        for (let turn = 0; turn <= 6; turn++) {
          for (const [i, one] of strangers.entries()) {
            if (one.at === turn) submit(VICTIMS.length + i, one);
          }
          await engine.advance();
        }
        while (await engine.advance());
        engine.release();
        expect(VICTIMS.map((_, id) => reply(id))).toEqual(alone);
        for (const [i, { scale, config }] of strangers.entries()) {
          const last = events.get(VICTIMS.length + i)?.at(-1);
          expect(last?.type).toBeOneOf(['done', 'failed']);
          if (!GenerationConfig.safeParse(config).success) continue;
          if (scale <= 1) expect(last?.type).toBe('done');
          if (last?.type === 'failed') expect(last.slug).toBe('computation-failed');
        }
      },
    );
    await fc.assert(property, { numRuns: batches(5) }).finally(() => releaseModels(models));
  },
);
