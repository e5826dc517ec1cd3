/** Background work beside people who keep the engine busy all along: counted in actions, and in milliseconds of a stand-in clock. */
import { describe, expect, it } from 'vitest';
import type { Pixels } from './protocol.ts';
import type { CompletedAction } from './stats.ts';
import { EngineSetup, exactly, type Generation } from './testing/engine-setup.ts';

/** Milliseconds that actions take. */
const COSTS = { images: 50, prefill: 20, 'prefill-chunk': 20, step: 10 } as const;
const JOBS = 1_000_000;
const ACTIONS = 3000;

const imageOf = (id: number): Generation => {
  const source: Pixels = { kind: 'pixels', key: `image ${id}`, pixels: Float32Array.of(id, 2) };
  return { source };
};

type Crowd = { size: number; make: (id: number) => Generation };

/** An engine with as many requests of people, and items of jobs, under way all along. */
class Busy {
  readonly setup: EngineSetup;
  readonly done: CompletedAction[] = [];
  readonly #people: Crowd;
  readonly #jobs: Crowd;
  #now = 0;
  readonly #ids = { people: 1, jobs: JOBS };
  readonly #open = new Set<number>();

  constructor(people: Crowd, jobs: Crowd) {
    this.#people = people;
    this.#jobs = jobs;
    const options = { reportsJobs: true, backgroundShare: 0.25 };
    this.setup = new EngineSetup(options, {}, () => this.#now);
    const { encode, decoder } = this.setup;
    const run = encode.getMockImplementation()!;
    encode.mockImplementation((pixels) => {
      this.#now += COSTS.images;
      return run(pixels);
    });
    decoder.gate = async ({ kind }) => {
      this.#now += kind === 'decode' ? COSTS.step : COSTS.prefill;
    };
    this.setup.deliver = (id, { type }) => {
      if (type === 'done') this.#open.delete(id);
    };
  }

  async advance(): Promise<void> {
    this.#fill('people', this.#people);
    this.#fill('jobs', this.#jobs);
    const before = this.setup.stats.length;
    // Nothing is done while background work rests and nobody asks.
    if (!(await this.setup.engine.advance())) this.#now += 1;
    for (const { done } of this.setup.stats.slice(before)) if (done !== null) this.done.push(done);
  }

  #fill(whose: 'people' | 'jobs', { size, make }: Crowd): void {
    const isJob = (id: number) => id >= JOBS;
    let open = [...this.#open].filter((id) => isJob(id) === (whose === 'jobs')).length;
    for (; open < size; open++) {
      const id = this.#ids[whose]++;
      const priority = whose === 'jobs' ? 'background' : 'interactive';
      this.setup.submit(id, { ...make(id), options: { caller: { client: whose, priority } } });
      this.#open.add(id);
    }
  }

  get endedJobs(): number {
    return this.setup.ended.filter((id) => id >= JOBS).length;
  }
}

const ofJobs = ({ jobs = [] }: CompletedAction) => jobs.every((id) => id >= JOBS);
const withJobs = ({ jobs = [] }: CompletedAction) => jobs.some((id) => id >= JOBS);
const time = (actions: readonly CompletedAction[]) => actions.reduce((sum, { ms }) => sum + ms, 0);

const short = { config: exactly(4) };
const images = (id: number): Generation => ({ ...imageOf(id), config: exactly(1) });
const saturating: [string, Crowd][] = [
  ['images', { size: 2, make: images }],
  ['images and short texts', { size: 4, make: (id) => ({ ...imageOf(id), ...short }) }],
  ['prompts', { size: 2, make: () => ({ config: exactly(1) }) }],
  ['more prompts than slots', { size: 30, make: () => ({ config: exactly(1) }) }],
];
const items: [string, (id: number) => Generation][] = [
  ['images', images],
  ['texts about images', (id) => ({ ...imageOf(id), ...short })],
  ['texts', () => short],
];

describe.each(saturating)('beside endless %s of people', (_people, people) => {
  it.each(items)('%s of jobs get a small part of the time', async (_item, make) => {
    const busy = new Busy(people, { size: 8, make });
    for (let i = 0; i < ACTIONS; i++) await busy.advance();
    const all = time(busy.done);
    // Their texts go on with those of people where these have any.
    expect(time(busy.done.filter(withJobs)) / all).toBeGreaterThan(0.03);
    expect(time(busy.done.filter(ofJobs)) / all).toBeLessThan(0.07);
    expect(busy.endedJobs).toBeGreaterThan(8);
  });
});

it.each([
  ['all slots', 8],
  ['all slots and the reserve', 40],
])('beside endless texts that hold %s items of jobs have their turn', async (_what, size) => {
  const busy = new Busy(
    { size, make: () => ({ config: exactly(20) }) },
    { size: 8, make: () => short },
  );
  for (let i = 0; i < ACTIONS; i++) await busy.advance();
  expect(busy.endedJobs).toBeGreaterThan(8);
});

it('beside one endless stream after another an item as wide as all slots has its turn', async () => {
  const wide = { config: { n: 8, temperature: 1, seed: 3, ...exactly(4) } };
  const busy = new Busy(
    { size: 2, make: (id) => ({ config: exactly(20 + (id % 7)) }) },
    { size: 1, make: () => wide },
  );
  for (let i = 0; i < ACTIONS; i++) await busy.advance();
  expect(busy.endedJobs).toBeGreaterThan(3);
});

it('items as wide as all slots keep others from the common slots for a small part of the time', async () => {
  const wide = { config: { n: 8, temperature: 1, seed: 3, ...exactly(4) } };
  const busy = new Busy(
    { size: 30, make: (id) => ({ config: exactly(50 + ((37 * id) % 101)) }) },
    { size: 4, make: () => wide },
  );
  for (let i = 0; i < ACTIONS; i++) await busy.advance();
  const steps = busy.done.filter(({ action, jobs }) => action === 'step' && jobs !== undefined);
  const few = steps.filter(({ jobs = [] }) => jobs.filter((id) => id < JOBS).length < 6);
  expect(busy.endedJobs).toBeGreaterThan(0);
  expect(few.length / steps.length).toBeLessThan(0.06);
});

it('between two steps of a stream is one action at most, also where background work is overdue', async () => {
  const busy = new Busy(
    { size: 4, make: (id) => ({ ...imageOf(id), config: exactly(id % 4 === 0 ? 200 : 1) }) },
    { size: 8, make: (id) => ({ ...imageOf(id), ...short }) },
  );
  for (let i = 0; i < ACTIONS; i++) await busy.advance();
  const stepped = new Set<number>();
  let others = 0;
  let most = 0;
  for (const { action, jobs = [] } of busy.done) {
    if (action === 'step') {
      others = 0;
      stepped.clear();
      for (const id of jobs) if (id < JOBS) stepped.add(id);
    } else {
      others++;
      const isStreaming = [...stepped].some((id) => !busy.setup.ended.includes(id));
      if (isStreaming) most = Math.max(most, others);
    }
  }
  expect(busy.done.filter(ofJobs).length).toBeGreaterThan(0);
  expect(most).toBe(1);
});

it('who asks now and then goes before all background work', async () => {
  const busy = new Busy(
    { size: 0, make: () => short },
    { size: 8, make: (id) => ({ ...imageOf(id), ...short }) },
  );
  const { setup } = busy;
  for (let i = 0; i < 100; i++) await busy.advance();
  for (let id = 1; id <= 40; id++) {
    const caller = { client: 'asks', priority: 'interactive' as const };
    setup.submit(id, { ...imageOf(id), ...short, options: { caller } });
    const from = busy.done.length;
    while (!setup.of(id).some(({ type }) => type === 'tokens')) await busy.advance();
    expect(busy.done.slice(from).map(({ action }) => action)).toEqual(['images', 'prefill']);
    for (let i = 0; i < 30; i++) await busy.advance();
  }
});

it('images of jobs are encoded while those of people wait for what their client owes', async () => {
  const busy = new Busy(
    { size: 0, make: () => short },
    { size: 2, make: (id) => ({ ...imageOf(id), ...short }) },
  );
  const { setup } = busy;
  const by = (client: string) => ({
    options: { caller: { client, priority: 'interactive' as const } },
  });
  setup.submit(1, { config: exactly(300), ...by('streams') });
  for (let id = 2; id < 30; id++)
    setup.submit(id, { ...imageOf(id), config: exactly(1), ...by('owes') });
  let jobs = 0;
  while (!setup.ended.includes(29)) {
    await busy.advance();
    const last = busy.done.at(-1)!;
    if (last.action === 'images' && ofJobs(last)) jobs++;
  }
  expect(jobs).toBeGreaterThan(0);
});

it('says of background work that it advances, once it has slots, and of nothing else', async () => {
  const busy = new Busy({ size: 0, make: () => short }, { size: 0, make: () => short });
  const { setup } = busy;
  const caller = { client: '', priority: 'background' as const };
  setup.submit(1, { ...imageOf(1), config: exactly(200), options: { caller } });
  setup.submit(2, { ...imageOf(2), ...short });
  while (!setup.ended.includes(1)) await busy.advance();
  const types = (id: number) => setup.of(id).map(({ type }) => type);
  expect(types(1).slice(0, 3)).toEqual(['embeddings', 'advanced', 'tokens']);
  expect(types(2)).not.toContain('advanced');
  // Not with each of its tokens.
  expect(types(1).filter((type) => type === 'advanced').length).toBeLessThan(3);
});
