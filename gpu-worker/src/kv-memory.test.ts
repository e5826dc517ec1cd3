import { describe, expect, it } from 'vitest';
import { leastBudget } from './engine/kv/kv-budget.ts';
import { kvCacheBytes, type Served } from './kv-memory.ts';

const GIB = 2 ** 30;
const decoder = { layers: 32, heads: 32, head_dim: 80, max_positions: 2048 };
const bundle = (bytes: number) =>
  ({
    family: 'opt',
    num_query_tokens: 32,
    decoder,
    files: [{ path: '', bytes, sha256: '' }],
  }) as never;
const served = (bytes: number, change: Partial<Served> = {}): Served => {
  return { generate: bundle(bytes), executionProvider: 'cpu', ...change };
};
const settings = {
  kvCacheMb: undefined,
  decodeTotalMemoryMb: 4096,
  maxBodyMemoryMb: 256,
  prefixCacheMb: 192,
};
const MACHINE_MB = 32 * 1024;

describe('memory for keys and values', () => {
  it('is most of what all others leave', () => {
    const alone = kvCacheBytes(settings, served(5 * GIB), MACHINE_MB)!;
    expect(alone / GIB).toBeGreaterThan(15);
    expect(alone / GIB).toBeLessThan(18);
    const both = kvCacheBytes(settings, served(5 * GIB, { retrieve: bundle(GIB) }), MACHINE_MB)!;
    expect(both).toBeLessThan(alone - 0.9 * GIB);
  });

  it('is enough for one sequence where weights leave nothing', () => {
    const least = leastBudget(bundle(0));
    expect(kvCacheBytes(settings, served(40 * GIB), MACHINE_MB)).toBe(least);
  });

  it('is what is set, and has no bound on a device', () => {
    expect(kvCacheBytes({ ...settings, kvCacheMb: 3 }, served(0), MACHINE_MB)).toBe(3 * 2 ** 20);
    const device = served(0, { executionProvider: 'webgpu' });
    expect(kvCacheBytes(settings, device, MACHINE_MB)).toBeUndefined();
  });
});
