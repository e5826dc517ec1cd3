import { expect, it } from 'vitest';
import { quantizeRows } from './quantize-rows.ts';

it('every value is within half a level of the exact one', () => {
  const width = 70;
  const values = Float32Array.from(
    { length: 3 * width },
    (_, i) => Math.sin(i * i) * (1 + (i % 7)),
  );
  const { levels, scales } = quantizeRows(values, width);
  for (const [i, value] of values.entries()) {
    const scale = scales[Math.floor(i / width)]!;
    expect(Math.abs(levels[i]! * scale - value)).toBeLessThanOrEqual(0.501 * scale);
  }
  expect(Math.max(...levels)).toBe(127);
});

it('a row of zeros stays zero', () => {
  const { levels, scales } = quantizeRows(new Float32Array(8), 4);
  expect([...levels, ...scales]).toEqual(Array(10).fill(0));
});
