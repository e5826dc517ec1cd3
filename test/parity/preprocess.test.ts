/** The worker's resize against Pillow's bicubic, the resampling BLIP-2's processor was published with. */
import { readFile } from 'node:fs/promises';
import { openImage } from '@blip2/gpu-worker/image/decode';
import { preprocess } from '@blip2/gpu-worker/image/preprocess';
import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';

const GOLDEN = new URL('./golden/preprocess/', import.meta.url);
const Expected = z.object({ side: z.number(), pixels: z.record(z.string(), z.array(z.number())) });

describe('preprocessing', () => {
  it.each(['down', 'up', 'tall', 'same'])('resizes as Pillow does: %s', async (name) => {
    const text = await readFile(new URL('expected.json', GOLDEN), 'utf8');
    const { side, pixels } = Expected.parse(JSON.parse(text));
    const bytes = await readFile(new URL(`${name}.png`, GOLDEN));
    const opened = await openImage(bytes, { maxBytes: 1e6, maxPixels: 1e6 });
    const values = await preprocess(opened.pixels, {
      size: side,
      patch: 14,
      mean: [0, 0, 0],
      std: [1, 1, 1],
      resample: 'bicubic',
    });
    const differences = pixels[name]!.map((expected, i) => {
      const [pixel, channel] = [Math.floor(i / 3), i % 3];
      return Math.abs(255 * values[channel * side * side + pixel]! - expected);
    });
    if (process.env.PARITY_REPORT) console.log(name, Math.max(...differences));
    expect(Math.max(...differences)).toBeLessThan(0.001);
  });
});
