/** A client that sends image after image, beside the streams of others: counted in actions, and in milliseconds of a stand-in clock. */
import { describe, expect, it } from 'vitest';
import type { Pixels } from './protocol.ts';
import type { CompletedAction } from './stats.ts';
import { alone, EngineSetup, exactly, type Generation } from './testing/engine-setup.ts';

/** Milliseconds that actions take. */
const COSTS = { images: 50, prefill: 20, 'prefill-chunk': 20, step: 10 } as const;
const TOKENS = 40;
const FLOOD = 1000;

const of = (client: string): Generation => ({
  options: { caller: { client, priority: 'interactive' } },
});
const imageOf = (id: number): Generation => {
  const source: Pixels = { kind: 'pixels', key: `image ${id}`, pixels: Float32Array.of(id, 2) };
  return { source };
};

/** An engine whose actions take their time, and the client that floods it. */
class Flood {
  readonly setup: EngineSetup;
  readonly done: CompletedAction[] = [];
  #now = 0;
  #id = FLOOD;
  readonly #own: number[] = [];
  readonly #options: { client?: string; waiting?: number; leaves?: boolean };

  constructor(options: { client?: string; waiting?: number; leaves?: boolean } = {}) {
    this.#options = options;
    this.setup = new EngineSetup({ reportsJobs: true }, {}, () => this.#now);
    const { encode, decoder } = this.setup;
    const run = encode.getMockImplementation()!;
    encode.mockImplementation((pixels) => {
      this.#now += COSTS.images;
      return run(pixels);
    });
    decoder.gate = async ({ kind }) => {
      this.#now += kind === 'decode' ? COSTS.step : COSTS.prefill;
    };
  }

  /** One action, with so many of the flood's requests waiting before it; those of clients that leave end with their embeddings. */
  async advance(): Promise<void> {
    const { client = 'flood', waiting = 4, leaves = false } = this.#options;
    const { setup } = this;
    const isOver = (id: number) => setup.of(id).length > 0;
    while (this.#own.filter((id) => !isOver(id)).length < waiting) {
      const config = exactly(100);
      setup.submit(this.#id, { ...imageOf(this.#id), ...of(client), config });
      this.#own.push(this.#id++);
    }
    await setup.engine.advance();
    this.done.push(setup.stats.at(-1)!.done!);
    if (leaves) for (const id of this.#own.filter(isOver)) setup.engine.cancel(id);
  }

  /** Actions until a request has so many tokens. */
  async until(id: number, tokens: number): Promise<CompletedAction[]> {
    const before = this.done.length;
    while ((this.setup.tokensOf(id)[0]?.length ?? 0) < tokens) await this.advance();
    return this.done.slice(before);
  }
}

const ofFlood = ({ action, jobs = [] }: CompletedAction) =>
  action !== 'step' && jobs.some((id) => id >= FLOOD);
const time = (actions: readonly CompletedAction[]) => actions.reduce((sum, { ms }) => sum + ms, 0);
const steps = (actions: readonly CompletedAction[]) =>
  actions.filter(({ action }) => action === 'step');

describe.each([
  ['stays', {}],
  ['leaves as soon as its image is encoded', { leaves: true }],
])('beside a client that sends image after image and %s', (_name, options) => {
  it('the image of another is encoded after one of them, and its first token comes after two', async () => {
    const flood = new Flood(options);
    for (let i = 0; i < 30; i++) await flood.advance();
    flood.setup.submit(1, { ...imageOf(1), ...of('other'), config: exactly(TOKENS) });
    const actions = await flood.until(1, 1);
    const encoded = actions.findIndex(
      ({ action, jobs }) => action === 'images' && jobs?.includes(1),
    );
    expect(
      actions.slice(0, encoded).filter(({ action }) => action === 'images').length,
    ).toBeLessThanOrEqual(1);
    expect(
      actions.filter(ofFlood).filter(({ action }) => action === 'images').length,
    ).toBeLessThanOrEqual(2);
  });

  it('a stream of another has half of the time, image and prompt of one request aside', async () => {
    const flood = new Flood(options);
    flood.setup.submit(1, { ...imageOf(1), ...of('other'), config: exactly(TOKENS) });
    await flood.until(1, 1);
    const actions = await flood.until(1, TOKENS);
    const most = time(steps(actions)) + COSTS.images + COSTS.prefill;
    expect(time(actions.filter(ofFlood))).toBeLessThanOrEqual(most);
    expect(flood.setup.tokensOf(1)).toEqual(
      await alone(1, { ...imageOf(1), config: exactly(TOKENS) }),
    );
  });

  it('it owes no more than its images took: they go on while others stream', async () => {
    const flood = new Flood(options);
    flood.setup.submit(1, { ...of('other'), config: exactly(400) });
    await flood.until(1, 1);
    const actions = await flood.until(1, 400);
    const least = time(steps(actions)) - COSTS.images - COSTS.prefill;
    expect(time(actions.filter(ofFlood))).toBeGreaterThanOrEqual(least);
  });
});

it('two clients that flood have two thirds of the time beside a stream', async () => {
  const flood = new Flood();
  flood.setup.submit(1, { ...of('other'), config: exactly(400) });
  await flood.until(1, 1);
  for (let i = 0; i < 200; i++) {
    const id = 2 * FLOOD + i;
    flood.setup.submit(id, { ...imageOf(id), ...of('second'), config: exactly(1) });
  }
  const actions = await flood.until(1, 400);
  expect(time(steps(actions)) / time(actions)).toBeGreaterThan(0.3);
});

it('images of the client that streams, and of nobody else, wait for no debt', async () => {
  const flood = new Flood({ client: 'other', leaves: true });
  flood.setup.submit(1, { ...of('other'), config: exactly(TOKENS) });
  await flood.until(1, 1);
  const actions = await flood.until(1, TOKENS);
  // One between any two steps.
  expect(actions.filter(ofFlood)).toHaveLength(steps(actions).length - 1);
});
