import { describe, expect, it } from 'vitest';
import { quantizeBlocks } from './quantize-blocks.ts';

/** What MatMulNBits makes of packed values: (q − 2^(bits − 1)) · scale. */
function restored(
  { packed, scales }: ReturnType<typeof quantizeBlocks>,
  width: number,
  { bits, block }: { bits: 4 | 8; block: number },
): number[] {
  const blocks = Math.ceil(width / block);
  const rows = scales.length / blocks;
  return Array.from({ length: rows * width }, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    const at = row * blocks + Math.floor(column / block);
    const offset = column % block;
    const byte = packed[at * ((block * bits) / 8) + (bits === 8 ? offset : offset >> 1)]!;
    const level = bits === 8 ? byte : offset & 1 ? byte >> 4 : byte & 15;
    return (level - 2 ** (bits - 1)) * scales[at]!;
  });
}

const wave = (count: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * i) * (1 + (i % 7)));

describe.each([
  { bits: 4, block: 32 },
  { bits: 8, block: 32 },
  { bits: 8, block: 128 },
] as const)('$bits bits in blocks of $block', (quantization) => {
  it.each([32, 70, 128, 130])('are within half a level in rows of %i values', (width) => {
    const values = wave(3 * width);
    const back = restored(quantizeBlocks(values, width, quantization), width, quantization);
    for (const [i, value] of values.entries()) {
      const row = Math.floor(i / width) * width;
      const start = row + Math.floor((i - row) / quantization.block) * quantization.block;
      const end = Math.min(start + quantization.block, row + width);
      const largest = Math.max(...values.slice(start, end).map(Math.abs));
      const step = largest / 2 ** (quantization.bits - 1);
      // The level opposite to the largest value is missing, and 4 bits may clip for the sake of the rest.
      const most = quantization.bits === 8 ? 1.01 * step : 0.2 * largest + step;
      expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(most);
    }
  });

  it('are the same for a row alone and beside others', () => {
    const values = wave(3 * 70);
    const all = quantizeBlocks(values, 70, quantization);
    const second = quantizeBlocks(values.slice(70, 140), 70, quantization);
    const bytes = second.packed.length;
    expect(all.packed.slice(bytes, 2 * bytes)).toEqual(second.packed);
  });

  it('of zeros are zero', () => {
    const back = restored(quantizeBlocks(new Float32Array(40), 40, quantization), 40, quantization);
    expect(back.every((value) => value === 0)).toBe(true);
  });
});

it('the error of 4 bits is smaller than by plain rounding', () => {
  const width = 64;
  const values = wave(200 * width);
  const squared = (levels: number[]) =>
    levels.reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0);
  const ours = squared(
    restored(quantizeBlocks(values, width, { bits: 4, block: 32 }), width, { bits: 4, block: 32 }),
  );
  const plain = squared(
    Array.from(values, (value, i) => {
      const start = Math.floor(i / 32) * 32;
      const scale = Math.max(...values.slice(start, start + 32).map(Math.abs)) / 7;
      return Math.round(value / scale) * scale;
    }),
  );
  expect(ours).toBeLessThan(0.95 * plain);
});
