import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';

describe('the configuration', () => {
  it('has sensible defaults, and empty variables count as absent', () => {
    expect(readConfig({ BLIP2_THREADS: '' })).toMatchObject({
      port: 8788,
      host: '127.0.0.1',
      executionProvider: 'auto',
      maxSlots: 8,
    });
  });

  it.each([
    ['GPU_WORKER_PORT', '99999'],
    ['BLIP2_MAX_SLOTS', '0'],
    ['BLIP2_THREADS', 'many'],
    ['BLIP2_EXECUTION_PROVIDER', 'tpu'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(name);
  });
});
