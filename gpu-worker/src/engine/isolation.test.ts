/** What one request asks for never shows in another's reply: fixed requests beside strangers of every kind. */
import { GenerationConfig } from '@blip2/shared/wire';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { JobEvent } from './protocol.ts';
import { EngineSetup } from './testing/engine-setup.ts';
import { VOCAB } from './testing/fake-decoder.ts';
import { allowedConfig, batches, forbiddenConfig } from './testing/hostile-configs.ts';

/** Ids in front of a prompt that make a decoder without a model compute such logits. */
const CORRUPTIONS: Record<number, (logits: Float32Array, attended: readonly number[]) => void> = {
  100: (logits) => logits.fill(Number.NaN),
  101: (logits) => logits.fill(Number.POSITIVE_INFINITY, 3, 4),
  102: (logits) => logits.fill(Number.NEGATIVE_INFINITY),
  103: (logits, { length }) => length > 8 && logits.fill(Number.NaN, 5, 6),
};
/** Large, but finite. */
const HUGE = 104;

function adjust(logits: Float32Array, attended: readonly number[]): void {
  for (const id of attended) CORRUPTIONS[id]?.(logits, attended);
  if (attended.includes(HUGE)) for (const i of logits.keys()) logits[i] = 3e38 * (-1) ** i;
}

type Request = { ids: number[]; config: GenerationConfig; image: number };

const victim = (image: number, ids: number[], config: Partial<GenerationConfig>): Request => ({
  image,
  ids,
  config: GenerationConfig.parse({ max_tokens: 9, ...config }),
});

/** Strangers have the same images, and prompts that begin alike. */
const VICTIMS: Request[] = [
  victim(0, [2, 3, 4, 5, 6], { min_tokens: 9, logprobs: true, top_logprobs: 5 }),
  victim(1, [2, 3], { min_tokens: 8, temperature: 1.2, top_p: 0.9, n: 2, seed: 7 }),
  victim(2, [2, 9], { num_beams: 3, n: 2, logprobs: true }),
  victim(3, [4], { min_tokens: 9, repetition_penalty: 1.5, no_repeat_ngram_size: 2 }),
];

type Stranger = Request & {
  /** Action of the engine before which it comes. */
  at: number;
  fate: 'is done' | 'fails' | 'may fail' | 'is canceled' | 'cannot be emitted';
};

const ids = fc.array(fc.integer({ min: 2, max: VOCAB - 1 }), { minLength: 1, maxLength: 9 });
const behind = (...first: number[]) => ids.map((rest) => [...first, ...rest]);

function strangers(
  what: { ids: fc.Arbitrary<number[]>; config: fc.Arbitrary<GenerationConfig> },
  ...fates: Stranger['fate'][]
): fc.Arbitrary<Stranger> {
  const image = fc.integer({ min: 0, max: 5 });
  const at = fc.integer({ min: 0, max: 12 });
  return fc.record({ image, at, ...what, fate: fc.constantFrom(...fates) });
}

const stranger = fc.oneof(
  strangers(
    { ids: fc.oneof(ids, behind(2, 3), behind(HUGE)), config: allowedConfig },
    ...(['is done', 'is done', 'is canceled', 'cannot be emitted'] as const),
  ),
  strangers({ ids, config: forbiddenConfig }, 'may fail'),
  strangers(
    { ids: fc.constantFrom(100, 101, 102).chain((id) => behind(2, 3, id)), config: allowedConfig },
    'fails',
  ),
  strangers({ ids: behind(103), config: allowedConfig }, 'may fail'),
);

function start(): EngineSetup {
  const setup = new EngineSetup({ maxSlots: 16, prefillChunkTokens: 3, prefixCacheBytes: 200 });
  setup.decoder.adjust = adjust;
  return setup;
}

function submit({ engine }: EngineSetup, id: number, { image, ids, config }: Request): void {
  const source = { kind: 'embeddings', values: Float32Array.of(image, -image) } as const;
  const caller = { client: String(id), priority: 'interactive' } as const;
  engine.submit(id, { kind: 'generate', source, inputIds: ids, config }, { caller });
}

/** Events of a job without their times. */
const reply = (events: readonly JobEvent[]) =>
  events.map((event) => (event.type === 'done' ? event.choices : event));

const alone = await Promise.all(
  VICTIMS.map(async (request) => {
    const setup = start();
    submit(setup, 0, request);
    await setup.finish();
    return reply(setup.of(0));
  }),
);

function expectFate({ fate }: Stranger, events: readonly JobEvent[]): void {
  const last = events.at(-1);
  if (fate === 'is canceled' || fate === 'cannot be emitted') return;
  expect(last?.type).toBeOneOf(
    { 'is done': ['done'], fails: ['failed'], 'may fail': ['done', 'failed'] }[fate],
  );
  if (fate === 'fails') expect(last).toMatchObject({ slug: 'computation-failed' });
  expect(events.slice(0, -1).every(({ type }) => type === 'tokens')).toBe(true);
  if (fate !== 'is done') return;
  for (const event of events) {
    if (event.type === 'tokens') {
      for (const { id, scored } of event.tokens) {
        expect(id).toBeOneOf([...Array(VOCAB).keys()]);
        expect(Number.isFinite(scored?.logprob)).toBe(true);
        expect(scored?.top.every(({ logprob }) => Number.isFinite(logprob))).toBe(true);
      }
    } else if (event.type === 'done') {
      expect(event.choices.every(({ score = 0 }) => Number.isFinite(score))).toBe(true);
    }
  }
}

it('fixed requests get the same bytes beside whatever strangers ask for', {
  timeout: 3_600_000,
}, async () => {
  const arrivals = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 4, maxLength: 4 });
  const property = fc.asyncProperty(
    fc.array(stranger, { minLength: 1, maxLength: 8 }),
    arrivals,
    async (others, starts) => {
      const setup = start();
      const fateOf = (id: number) => others[id - VICTIMS.length]?.fate;
      setup.deliver = (id, { type }) => {
        if (fateOf(id) === 'cannot be emitted' && type !== 'failed') throw new Error('it has gone');
      };
      for (let turn = 0; turn <= 12; turn++) {
        for (const [id, request] of VICTIMS.entries())
          if (starts[id] === turn) submit(setup, id, request);
        for (const [i, other] of others.entries()) {
          const id = VICTIMS.length + i;
          if (other.at === turn) submit(setup, id, other);
          if (other.fate === 'is canceled' && other.at + 3 === turn) setup.engine.cancel(id);
        }
        await setup.engine.advance();
      }
      await setup.finish();
      expect(VICTIMS.map((_, id) => reply(setup.of(id)))).toEqual(alone);
      for (const [i, other] of others.entries()) {
        expectFate(other, setup.of(VICTIMS.length + i));
      }
      expect(setup.stats.at(-1)).toMatchObject({ running: 0, waiting: { images: 0, prefill: 0 } });
      expect(setup.decoder.wasReset).toBe(true);
    },
  );
  await fc.assert(property, { numRuns: batches(10_000) });
});

it('24 requests get the same bytes beside a vanishing repetition penalty, which no schema lets through', async () => {
  const innocents = Array.from({ length: 24 }, (_, i) => VICTIMS[i % VICTIMS.length] as Request);
  const hostile = victim(4, [2, 3], { min_tokens: 9, temperature: 1 });
  hostile.config.repetition_penalty = 1e-300;
  const setup = start();
  for (const [id, request] of innocents.entries()) {
    submit(setup, id, request);
    if (id % 3 === 0) submit(setup, 100 + id, hostile);
  }
  await setup.finish();
  for (const id of innocents.keys()) {
    expect(reply(setup.of(id))).toEqual(alone[id % VICTIMS.length]);
  }
  expect(setup.ended).toHaveLength(32);
});
