import { describe, expect, it } from 'vitest';
import { EngineSetup } from '../testing/engine-setup.ts';
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

  it('has room for one sequence of any length at the least', () => {
    for (const family of ['opt', 't5'] as const) {
      const model = { ...opt, family };
      const budget = new KvBudget(model, leastBudget(model));
      expect(budget.fits([{ slots: 1, promptIds: 1, maxTokens: 2015 }])).toBe(true);
      expect(budget.fits([{ slots: 3, promptIds: 1000, maxTokens: 1015 }])).toBe(false);
    }
  });

  it.each([
    [{ n: 8, num_beams: 1, max_tokens: 20 }, 6 * GIB, 'n', 'lower n to 4 at most'],
    [{ n: 2, num_beams: 6, max_tokens: 20 }, 6 * GIB, 'num_beams', 'lower num_beams to 4 at most'],
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
  /** The fake decoder's position has 8 bytes: this is for four slots of 256 positions. */
  const kvCacheBytes = 4 * 256 * 8;
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

  it('refuses what never fits before it computes anything', async () => {
    const setup = new EngineSetup({ manifest, kvCacheBytes });
    setup.submit(1, texts(5));
    await setup.finish();
    expect(setup.of(1)).toMatchObject([{ type: 'failed', slug: 'invalid-request' }]);
    expect(setup.decoder.batches).toEqual([]);
  });
});
