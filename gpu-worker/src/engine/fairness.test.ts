/** Who waits for whom: counted in actions of the engine, over a decoder without a model. */
import { describe, expect, it } from 'vitest';
import type { Caller, Pixels } from './protocol.ts';
import { alone, EngineSetup, exactly, type Generation } from './testing/engine-setup.ts';

const LONG = 120;

const by = (client: string, priority: Caller['priority'] = 'interactive') => ({
  options: { caller: { client, priority } },
});
const wide: Record<string, Generation> = {
  'eight samples': { config: { n: 8, temperature: 1, seed: 3, ...exactly(LONG) } },
  'eight beams': { config: { num_beams: 8, n: 8, ...exactly(LONG) } },
};
const light: Generation = { config: exactly(4) };

/** Actions until a job has its first token. */
async function actionsToFirstToken(setup: EngineSetup, id: number): Promise<number> {
  for (let actions = 1; await setup.engine.advance(); actions++) {
    if (setup.of(id).some(({ type }) => type === 'tokens')) return actions;
  }
  throw new Error('it never came');
}

/** Lets so many actions pass. */
async function pass(setup: EngineSetup, actions: number): Promise<void> {
  for (let i = 0; i < actions; i++) await setup.engine.advance();
}

describe.each(Object.entries(wide))('beside %s, which hold all slots', (_name, greedy) => {
  it.each([
    ['another client', by('light')],
    ['the same client', by('greedy')],
  ])(
    'a request of %s has its first token after three actions, however many more wait',
    async (_who, from) => {
      const setup = new EngineSetup();
      for (let id = 100; id < 120; id++) setup.submit(id, { ...greedy, ...by('greedy') });
      await pass(setup, 5);
      for (const id of [1, 2, 3]) {
        setup.submit(id, { ...light, ...from });
        expect(await actionsToFirstToken(setup, id)).toBeLessThanOrEqual(3);
      }
      await setup.finish();
      expect(setup.tokensOf(1)).toEqual(await alone(1, light));
      for (const id of [100, 107, 119]) {
        expect(setup.tokensOf(id), String(id)).toEqual(await alone(id, greedy));
      }
    },
  );

  it('unnamed clients are served as one that is light and heavy', async () => {
    const setup = new EngineSetup();
    for (const id of [100, 101]) setup.submit(id, greedy);
    await pass(setup, 5);
    setup.submit(1, light);
    expect(await actionsToFirstToken(setup, 1)).toBeLessThanOrEqual(3);
  });

  it('it ends no later for all the light ones that come, and those of its client that wait do too', async () => {
    const steps = async (crowd: number) => {
      const setup = new EngineSetup();
      for (const id of [100, 101]) setup.submit(id, { ...greedy, ...by('greedy') });
      let id = 0;
      let count = 0;
      while (!setup.ended.includes(101)) {
        for (let i = 0; i < crowd; i++) setup.submit(id++, { ...light, ...by(`light ${i}`) });
        await setup.engine.advance();
        count += setup.stats.at(-1)?.done?.action === 'step' ? 1 : 0;
      }
      return count;
    };
    // Each of the two needs one step less than tokens; the second begins when the first ends.
    expect(await steps(3)).toBeLessThanOrEqual((await steps(0)) + 2);
  });
});

describe('a client with many requests', () => {
  it('keeps no other from its share, however long its own are', async () => {
    const setup = new EngineSetup();
    for (let id = 100; id < 140; id++) {
      setup.submit(id, { config: exactly(LONG), ...by('greedy') });
    }
    await pass(setup, 3);
    for (const id of [1, 2, 3, 4]) {
      setup.submit(id, { ...light, ...by('light') });
      expect(await actionsToFirstToken(setup, id)).toBeLessThanOrEqual(3);
    }
  });

  it.each([
    ['and a small one after them', {}],
    ['about new images', { image: 'new' }],
    ['about one image', { image: 'same' }],
  ])('as wide as all slots %s keeps no wide one of another behind all', async (_what, how) => {
    const setup = new EngineSetup();
    const all: Generation = { config: { n: 8, temperature: 1, seed: 3, ...exactly(20) } };
    for (let id = 100; id < 120; id++) {
      const key = 'image' in how && how.image === 'same' ? 'a' : String(id);
      const source: Pixels = { kind: 'pixels', key, pixels: Float32Array.of(1, 2) };
      setup.submit(id, { ...all, ...('image' in how && { source }), ...by('greedy') });
    }
    if (!('image' in how)) setup.submit(120, { ...light, ...by('greedy') });
    await pass(setup, 30);
    setup.submit(1, { ...all, ...by('other') });
    await setup.finish();
    const wideBefore = setup.ended.slice(0, setup.ended.indexOf(1)).filter((id) => id !== 120);
    expect(wideBefore.length).toBeLessThanOrEqual(3);
  });

  it('as wide as all slots keeps those that were served beside them behind no images that come then', async () => {
    const setup = new EngineSetup();
    const all: Generation = { config: { n: 8, temperature: 1, seed: 3, ...exactly(LONG) } };
    const about = (id: number): Generation => ({
      source: { kind: 'pixels', key: String(id), pixels: Float32Array.of(1, 2) },
    });
    let last = 0;
    const keep = (ids: number[], most: number, make: (id: number) => Generation, who: string) => {
      while (ids.filter((id) => !setup.ended.includes(id)).length < most) {
        ids.push(++last);
        setup.submit(last, { ...make(last), ...by(who) });
      }
    };
    const [wides, texts, images] = [[], [], []] as [number[], number[], number[]];
    for (let i = 0; i < 400; i++) {
      keep(wides, 2, () => all, 'greedy');
      keep(texts, 4, () => light, 'team');
      await setup.engine.advance();
    }
    for (const id of [...wides, ...texts]) setup.engine.cancel(id);
    const encoded = setup.encode.mock.calls.length;
    keep(images, 30, (id) => ({ config: exactly(1), ...about(id) }), 'greedy');
    setup.submit(++last, { ...light, ...about(last), ...by('team') });
    const own = last;
    while (!setup.ended.includes(own)) {
      keep(images, 30, (id) => ({ config: exactly(1), ...about(id) }), 'greedy');
      await setup.engine.advance();
      if (setup.encode.mock.calls.length > encoded + 100) break;
    }
    expect(texts.length).toBeGreaterThan(100);
    expect(setup.encode.mock.calls.length - encoded).toBeLessThanOrEqual(16);
  });

  it('that gave them up while they waited comes no later for it', async () => {
    const setup = new EngineSetup({ maxSlots: 1 });
    setup.submit(100, { config: exactly(LONG), ...by('other') });
    await pass(setup, 2);
    const waiting = [101, 102, 103];
    for (const id of waiting) setup.submit(id, { ...light, ...by('other') });
    const source: Pixels = { kind: 'pixels', key: 'a', pixels: Float32Array.of(1, 2) };
    const given = Array.from({ length: 40 }, (_, i) => 200 + i);
    for (const id of given) {
      setup.submit(id, { ...light, ...by('impatient'), ...(id % 2 === 0 && { source }) });
    }
    for (const id of given) setup.engine.cancel(id);
    await pass(setup, 1);
    setup.submit(1, { ...light, ...by('impatient') });
    await setup.finish();
    const order = setup.ended.filter((id) => id === 1 || waiting.includes(id));
    expect(order.indexOf(1)).toBeLessThan(2);
  });

  it('with long prompts does not keep others from theirs until they are read', async () => {
    const setup = new EngineSetup({ prefillChunkTokens: 4 });
    const ids = Array.from({ length: 300 }, (_, i) => 2 + (i % 20));
    for (let id = 100; id < 104; id++) setup.submit(id, { ids, ...by('greedy') });
    await pass(setup, 3);
    setup.submit(1, { ...light, ...by('light') });
    expect(await actionsToFirstToken(setup, 1)).toBeLessThanOrEqual(5);
    await setup.finish();
    expect(setup.tokensOf(101)).toEqual(await alone(101, { ids }));
  });

  it('with many long prompts does not keep one of a few chunks from its turn', async () => {
    const setup = new EngineSetup({ prefillChunkTokens: 4 });
    const prompt = (length: number) => Array.from({ length }, (_, i) => 2 + (i % 20));
    for (let id = 100; id < 108; id++) setup.submit(id, { ids: prompt(300), ...by('greedy') });
    // All of them have begun, none has read half of its prompt.
    await pass(setup, 100);
    expect(setup.stats.at(-1)?.waiting.prefill).toBe(0);
    setup.submit(1, { ...light, ids: prompt(18), ...by('light') });
    expect(await actionsToFirstToken(setup, 1)).toBeLessThan(60);
    await setup.finish();
    for (const id of [100, 107]) {
      expect(setup.tokensOf(id)).toEqual(await alone(id, { ids: prompt(300) }));
    }
  });

  it('with endless short requests does not keep images of others from being encoded', async () => {
    const setup = new EngineSetup();
    let id = 100;
    const flood = () => {
      while (id < 200) setup.submit(id++, { config: exactly(1), ...by('greedy') });
    };
    flood();
    await pass(setup, 3);
    const source: Pixels = { kind: 'pixels', key: 'a', pixels: Float32Array.of(1, 2) };
    setup.submit(1, { ...light, source, ...by('light') });
    expect(await actionsToFirstToken(setup, 1)).toBeLessThanOrEqual(6);
  });
});

describe('background work that holds all slots', () => {
  it('delays no interactive request by more than its own actions, and ends with the same tokens', async () => {
    const setup = new EngineSetup();
    const job = { config: { n: 8, temperature: 1, seed: 3, ...exactly(LONG) } };
    setup.submit(100, { ...job, ...by('batch', 'background') });
    await pass(setup, 5);
    setup.submit(1, { config: { num_beams: 5, ...exactly(20) }, ...by('a') });
    setup.submit(2, { ...light, ...by('b') });
    await actionsToFirstToken(setup, 2);
    await setup.finish();
    expect(setup.ended).toEqual([2, 1, 100]);
    expect(setup.tokensOf(100)).toEqual(await alone(100, job));
  });

  it('waits for interactive requests, and then gets its turn', async () => {
    const setup = new EngineSetup();
    for (let id = 1; id <= 12; id++) setup.submit(id, by('a'));
    setup.submit(100, by('batch', 'background'));
    await setup.finish();
    expect(setup.ended.at(-1)).toBe(100);
  });
});

it('slots in use are never more than twice those that all share', async () => {
  const setup = new EngineSetup({ maxSlots: 4 });
  for (let id = 0; id < 60; id++) {
    const n = 1 + (id % 4);
    setup.submit(id, {
      config: { n, temperature: 1, ...exactly(3 + (id % 5)) },
      ...by(String(id % 9), id % 6 === 5 ? 'background' : 'interactive'),
    });
  }
  let most = 0;
  while (await setup.engine.advance()) {
    most = Math.max(most, setup.stats.at(-1)?.running ?? 0);
  }
  expect(most).toBeGreaterThan(4);
  expect(most).toBeLessThanOrEqual(8);
  expect(setup.ended).toHaveLength(60);
});
