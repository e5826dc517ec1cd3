/** The resize of odd shapes against Pillow's, bit for bit, by each filter and with the middle cut out. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type RgbImage, resample } from '@blip2/gpu-worker/image/resample';
import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';

const pair = z.tuple([z.number(), z.number()]);
const Shapes = z.array(
  z.object({
    from: pair,
    to: pair,
    filter: z.enum(['box', 'bilinear', 'hamming', 'bicubic', 'lanczos']),
    sha256: z.string(),
  }),
);
const SIDE = 56;

/** The same noise as `draw_noise` of `golden/make/preprocessing.py`. */
function noise(width: number, height: number): RgbImage {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < data.length; i++) {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / (3 * width))];
    data[i] = Math.imul(x * 73 + y * 151 + c * 89, 0x9e3779b1) >>> 24;
  }
  return { data, width, height };
}

const golden = new URL('./golden/preprocess/shapes.json', import.meta.url);
const shapes = Shapes.parse(JSON.parse(await readFile(golden, 'utf8')));

describe('resizing as Pillow does, bit for bit', () => {
  it.each(shapes)('$from to $to, $filter', ({ from, to, filter, sha256 }) => {
    const [left, top] = to.map((side) => Math.floor((side - SIDE) / 2)) as [number, number];
    const kept = { left, top, width: SIDE, height: SIDE };
    const { data } = resample(noise(...from), ...to, filter, kept);
    expect(createHash('sha256').update(data).digest('hex')).toBe(sha256);
  });
});
