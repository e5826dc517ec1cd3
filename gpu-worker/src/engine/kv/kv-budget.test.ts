import { describe, expect, it } from 'vitest';
import { EngineSetup, exactly } from '../testing/engine-setup.ts';
import { KvBudget, leastBudget } from './kv-budget.ts';

/** Of OPT-2.7B. */
const opt = {
  family: 'opt' as const,
  num_query_tokens: 32,
  decoder: { layers: 32, heads: 32, head_dim: 80, max_positions: 2048 },
};
const POSITION = 655_360;
const GIB = 2 ** 30;
const long = { slots: 8, promptIds: 1900, maxTokens: 20 };

describe('memory of keys and values', () => {
  it('is that of all slots with the positions of the longest sequence, in pairs', () => {
    const budget = new KvBudget(opt, 0);
    expect(budget.bytesOf([long])).toBe(8 * 2048 * POSITION);
    const short = { slots: 1, promptIds: 20, maxTokens: 20 };
    expect(budget.bytesOf([short])).toBe(2 * 128 * POSITION);
    expect(budget.bytesOf([long, short])).toBe(10 * 2048 * POSITION);
  });

  it('is that of two caches for T5', () => {
    const budget = new KvBudget({ ...opt, family: 't5' }, 0);
    const { positions, crossPositions } = budget.capacityOf([long]);
    expect([positions, crossPositions]).toEqual([64, 2048]);
  });

  it('has room for one sequence of any length at the least, and for two short ones beside it', () => {
    for (const family of ['opt', 't5'] as const) {
      const model = { ...opt, family };
      const budget = new KvBudget(model, leastBudget(model));
      const whole = { slots: 1, promptIds: 1, maxTokens: 2015 };
      expect(budget.fits([whole, budget.spare])).toBe(true);
      expect(() => budget.expect({ n: 1, num_beams: 1, max_tokens: 2015 }, 1)).not.toThrow();
      expect(() => budget.expect({ n: 8, num_beams: 1, max_tokens: 40 }, 20)).not.toThrow();
      expect(budget.fits([{ slots: 7, promptIds: 1000, maxTokens: 1015 }])).toBe(false);
    }
  });

  it.each([
    [{ n: 8, num_beams: 1, max_tokens: 20 }, 6 * GIB, 'n', 'lower n to 2 at most'],
    [{ n: 2, num_beams: 6, max_tokens: 20 }, 6 * GIB, 'num_beams', 'lower num_beams to 2 at most'],
    [{ n: 1, num_beams: 1, max_tokens: 20 }, 1 * GIB, 'max_tokens', 'lower max_tokens'],
  ])('that %o needs and no worker of this size has is refused', (config, limit, field, text) => {
    const budget = new KvBudget(opt, limit);
    const refused = expect.objectContaining({ slug: 'invalid-request', extras: { field } });
    expect(() => budget.expect(config, 1900)).toThrow(refused);
    expect(() => budget.expect(config, 1900)).toThrow(text);
    expect(() => budget.expect(config, 10)).not.toThrow();
  });
});

describe('an engine with little memory', () => {
  /** The fake decoder's position has 8 bytes: this is for four slots of 256 positions, and the two to spare. */
  const kvCacheBytes = 6 * 256 * 8;
  const manifest = {
    eos_token_ids: [0],
    family: 'opt',
    num_query_tokens: 2,
    decoder: { layers: 1, heads: 1, head_dim: 1, max_positions: 512 },
  } as never;
  const texts = (count: number) => ({
    ids: Array.from({ length: 150 }, () => 3),
    config: { n: count, temperature: 1 },
    options: { caller: { client: `${count}`, priority: 'interactive' as const } },
  });

  it('never has more than that, and serves all the same', async () => {
    const setup = new EngineSetup({ manifest, kvCacheBytes });
    for (const id of [1, 2, 3, 4]) setup.submit(id, texts(4));
    setup.submit(5, { config: { n: 8, temperature: 1, max_tokens: 30 } });
    let most = 0;
    while (await setup.engine.advance()) most = Math.max(most, setup.decoder.usage.kvBytes);
    expect(setup.ended.toSorted()).toEqual([1, 2, 3, 4, 5]);
    expect(most).toBeLessThanOrEqual(kvCacheBytes);
    const free = new EngineSetup();
    for (const id of [1, 2]) free.submit(id, texts(4));
    await free.finish();
    for (const id of [1, 2]) expect(setup.tokensOf(id)).toEqual(free.tokensOf(id));
  });

  it.each(['interactive', 'background'] as const)(
    'serves a short request beside long %s work of somebody else',
    async (priority) => {
      const setup = new EngineSetup({ manifest, kvCacheBytes });
      const options = { caller: { client: 'greedy', priority } };
      const config = { n: 4, temperature: 1, ...exactly(180) };
      for (const id of [100, 101]) setup.submit(id, { config, options });
      for (let i = 0; i < 5; i++) await setup.engine.advance();
      for (const id of [1, 2]) {
        const caller = { client: `light ${id}`, priority: 'interactive' as const };
        setup.submit(id, { config: exactly(4), options: { caller } });
      }
      await setup.finish();
      expect(setup.ended.slice(0, 2).toSorted()).toEqual([1, 2]);
      expect(setup.ended.toSorted()).toEqual([1, 100, 101, 2]);
    },
  );

  it('refuses what never fits before it computes anything', async () => {
    const setup = new EngineSetup({ manifest, kvCacheBytes });
    setup.submit(1, texts(5));
    await setup.finish();
    expect(setup.of(1)).toMatchObject([{ type: 'failed', slug: 'invalid-request' }]);
    expect(setup.decoder.batches).toEqual([]);
  });
});
