/** Files of every kind against Pillow: the pixels that BLIP-2's processor gets, and the frames that are reported. */
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { openImage } from '@blip2/gpu-worker/image/decode';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';

const GOLDEN = fileURLToPath(new URL('./golden/images/', import.meta.url));
const FILES = globSync('*', { cwd: GOLDEN }).filter((name) => !name.endsWith('.pixels.png'));

/** Of 255. Transparency is rounded once more or less, and AVIF's colors are converted by another library. */
const tolerance = (name: string) =>
  /avif$/.test(name) ? 3 : /alpha|transparent/.test(name) ? 1 : 0;

const FRAMES: Record<string, number> = {
  'animated.gif': 3,
  'animated.webp': 3,
  'animated.png': 3,
  'animated.avif': 3,
  'animated-behind-still.png': 2,
  'transparent-animated.webp': 2,
};

describe('a file as Pillow reads it', () => {
  it.each(FILES)('%s', async (name) => {
    const { info, pixels } = await openImage(await readFile(GOLDEN + name), {
      maxBytes: 1e6,
      maxPixels: 1e6,
    });
    const { data, info: size } = await pixels.raw().toBuffer({ resolveWithObject: true });
    const expected = await sharp(await readFile(`${GOLDEN}${name}.pixels.png`))
      .raw()
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = expected.info;
    expect(size).toMatchObject({ width, height, channels });
    expect(info).toMatchObject({ width, height });
    expect(info.frames).toBe(FRAMES[name]);
    const differences = data.map((value, i) => Math.abs(value - expected.data[i]!));
    // Print's colors have no one meaning: ours are a profile's, Pillow's are arithmetic.
    if (name !== 'cmyk.jpg') expect(Math.max(...differences)).toBeLessThanOrEqual(tolerance(name));
  });
});
