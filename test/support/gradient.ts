/** For tests: an image of any size of which each part is known. */
import type { RgbImage } from '@blip2/gpu-worker/image/resample';

/** Red grows from the first pixel to the last, green falls, and blue is 128. */
export function gradient(width: number, height: number): RgbImage {
  const pixels = width * height;
  const data = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    const red = Math.floor((256 * i) / pixels);
    data.set([red, 255 - red, 128], 3 * i);
  }
  return { data, width, height };
}
