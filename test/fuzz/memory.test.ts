/** What is measured of the processes of the service while it is fuzzed. */
import { DecodePool } from '@blip2/gpu-worker/image/decode-pool';
import { describe, expect, it } from 'vitest';
import { expectMemory, memoryOf } from '../../tools/fuzz/memory.ts';

const MEBIBYTE = 2 ** 20;
const DECODER = 'a process that decodes images';
const decoderOf = (resident: number, most = resident) =>
  new Map([[DECODER, { resident: resident * MEBIBYTE, most: most * MEBIBYTE }]]);

it.runIf(process.platform === 'linux')('processes that decode images are measured', async () => {
  const pool = await DecodePool.start({
    limits: { maxBytes: 1e6, maxPixels: 1e6 },
    ...{ processes: 2, timeoutMs: 60_000, imageMemory: 2 ** 28, totalMemory: 2 ** 29 },
  });
  try {
    const memory = await memoryOf(process.pid, process.pid);
    const { resident = 0, most = 0 } = memory.get(DECODER) ?? {};
    expect(resident).toBeGreaterThan(20 * MEBIBYTE);
    expect(most).toBeGreaterThanOrEqual(resident);
    expect(memory.get('the GPU worker')?.resident).toBeGreaterThan(0);
  } finally {
    await pool.stop();
  }
});

describe('a process that decodes images', () => {
  it('is back to where it was when it keeps little of what it held', () => {
    expect(() => expectMemory(decoderOf(160, 900), decoderOf(60))).not.toThrow();
  });

  it.each([
    ['keeps what an image took', decoderOf(500), 'keeps 500 MiB in memory, and had 60 MiB before'],
    ['took more than any image may', decoderOf(60, 1700), 'took 1700 MiB meanwhile'],
  ])('is found where it %s', (_, now, violation) => {
    expect(() => expectMemory(now, decoderOf(60))).toThrow(`${DECODER} ${violation}`);
  });
});
