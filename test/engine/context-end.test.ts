/** Rows of unlike shape in one pass: prompts near the end of the context, cached to unlike lengths, beside short ones. */
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import { Engine } from '@blip2/gpu-worker/engine/engine';
import { loadModels, releaseModels } from '@blip2/gpu-worker/engine/models/load-models';
import type { EngineOptions, JobEvent } from '@blip2/gpu-worker/engine/protocol';
import { batches } from '@blip2/gpu-worker/engine/testing/hostile-configs';
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import { GenerationConfig } from '@blip2/shared/wire';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readGolden, readT5Golden } from '../../tools/eval/goldens.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bundles = temporaryFolder();

const CHECKPOINTS = {
  'the embedded model': new URL('../../gpu-worker/checkpoints/generate', import.meta.url).pathname,
  OPT: readGolden('tied').checkpoint,
  T5: readT5Golden('t5').checkpoint,
};

const SLOTS = 8;

/** A question about an image: how one of a few conversations goes on. */
type Question = { image: number; conversation: number; length: number; maxTokens: number };

/** @param room text positions that a model has behind an image */
function questions(room: number): fc.Arbitrary<{ asked: Question[]; before: Question[] }> {
  const atEnd = fc
    .integer({ min: 1, max: Math.min(70, room - 2) })
    .map((left) => ({ length: room - left, maxTokens: Math.min(left, 3) }));
  const short = fc
    .integer({ min: 2, max: Math.min(60, room - 4) })
    .map((length) => ({ length, maxTokens: 3 }));
  const about = fc.record({
    image: fc.integer({ min: 0, max: 2 }),
    conversation: fc.integer({ min: 0, max: 1 }),
  });
  const question = fc
    .tuple(about, fc.oneof(atEnd, short))
    .map(([image, shape]) => ({ ...image, ...shape }));
  const fewer = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 90 }));
  /** Questions that were asked before end a few tokens earlier, so that the later ones begin with them. */
  const before = (asked: Question[]) =>
    fc.tuple(...asked.map(() => fewer)).map((shorter) =>
      asked.flatMap((one, i) => {
        const length = one.length - (shorter[i] as number);
        return length < 1 ? [] : [{ ...one, length, maxTokens: 1 }];
      }),
    );
  return fc
    .array(question, { minLength: 1, maxLength: SLOTS })
    .chain((asked) => before(asked).map((earlier) => ({ asked, before: earlier })));
}

function idsOf({ conversation, length }: Question, { vocab }: GenerativeManifest['decoder']) {
  return Array.from(
    { length },
    (_, i) => 5 + ((7 * i + 31 * conversation * (i + 1)) % (vocab - 9)),
  );
}

it.each([
  ['the embedded model', 'fp32', 64],
  ['the embedded model', 'int4', 64],
  ['OPT', 'int8', 7],
  ['T5', 'fp32', 64],
] as const)(
  '%s in %s gives each of up to eight prompts what it gives it alone, %i tokens a chunk',
  { timeout: 3_600_000 },
  async (name, precision, prefillChunkTokens) => {
    const bundle = await ensureBundle(CHECKPOINTS[name], { bundles, precision });
    const manifest = await readGenerativeManifest(bundle);
    const options: EngineOptions = {
      ...{ bundle, manifest, executionProvider: PROVIDER, threads: 1 },
      ...{ maxSlots: SLOTS, prefillChunkTokens, prefixCacheBytes: 2 ** 24 },
    };
    const models = await loadModels(options);
    const { decoder, num_query_tokens, qformer_hidden } = manifest;
    // One that fails is run again request by request: the replies would not show it.
    const failures: unknown[] = [];
    const forward = models.decoder.forward.bind(models.decoder);
    models.decoder.forward = async (batch) => {
      try {
        return await forward(batch);
      } catch (thrown) {
        failures.push(thrown);
        throw thrown;
      }
    };

    /** @returns events of each question; those of one call wait together */
    const start = (prefixCacheBytes: number) => {
      const events: JobEvent[][] = [];
      const engine = new Engine(models, { ...options, prefixCacheBytes }, (id, event) => {
        events[id]!.push(event);
      });
      const ask = async (all: readonly Question[]) => {
        const from = events.length;
        for (const question of all) {
          const id = events.push([]) - 1;
          const values = Float32Array.from({ length: num_query_tokens * qformer_hidden }, (_, i) =>
            Math.sin((question.image + 2) * i),
          );
          const { maxTokens: max_tokens } = question;
          const config = GenerationConfig.parse({
            ...{ max_tokens, min_tokens: max_tokens, logprobs: true, top_logprobs: 3 },
          });
          const source = { kind: 'embeddings', values } as const;
          const inputIds = idsOf(question, decoder);
          engine.submit(
            id,
            { kind: 'generate', source, inputIds, config },
            { caller: { client: '', priority: 'interactive' } },
          );
        }
        while (await engine.advance());
        return events
          .slice(from)
          .map((ofJob) => ofJob.map((event) => (event.type === 'done' ? event.choices : event)));
      };
      return { ask, release: () => engine.release() };
    };

    const room = decoder.max_positions - num_query_tokens;
    const property = fc.asyncProperty(questions(room), async ({ asked, before }) => {
      failures.length = 0;
      const fresh = start(0);
      const alone = [];
      for (const question of asked) alone.push(...(await fresh.ask([question])));
      fresh.release();
      const { ask, release } = start(options.prefixCacheBytes);
      await ask(before);
      const together = await ask(asked);
      release();
      expect(together).toEqual(alone);
      expect(failures).toEqual([]);
    });
    const long = { image: 0, conversation: 0, length: room - 10, maxTokens: 3 };
    const short = { image: 1, conversation: 1, length: Math.min(40, room - 4), maxTokens: 3 };
    const nearEnd = {
      asked: [long, short],
      before: [
        { ...long, length: room - 13, maxTokens: 1 },
        { ...short, length: 1, maxTokens: 1 },
      ],
    };
    await fc
      .assert(property, { numRuns: batches(5), examples: [[nearEnd]] })
      .finally(() => releaseModels(models));
  },
);
