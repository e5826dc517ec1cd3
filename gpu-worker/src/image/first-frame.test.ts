import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { openImage } from './decode.ts';
import { firstFrameOf } from './first-frame.ts';

const SIDE = 24;
const LIMITS = { maxBytes: 20_000_000, maxPixels: 1_000_000 };

/** Frames of one color each, with a square that moves, so that encoders store parts of frames. */
async function animation(frames: number): Promise<Sharp> {
  const bytes = Buffer.alloc(3 * SIDE * SIDE * frames, 40);
  for (let frame = 0; frame < frames; frame++) {
    for (let pixel = 0; pixel < 60; pixel++) {
      bytes[3 * (frame * SIDE * SIDE + SIDE * 5 + pixel + 2 * frame)] = 250;
    }
  }
  const raw = { width: SIDE, height: SIDE * frames, channels: 3, pageHeight: SIDE } as const;
  return sharp(bytes, { raw });
}

const pixelsOf = (bytes: Uint8Array) => sharp(bytes, { pages: 1 }).ensureAlpha().raw().toBuffer();

describe.each(['webp', 'gif'] as const)('an animated %s', (format) => {
  it('has the pixels of its first frame when it is cut behind that', async () => {
    const options = { delay: Array(5).fill(100) };
    const bytes = await (await animation(5)).toFormat(format, options).toBuffer();
    const { bytes: still, frames } = firstFrameOf(bytes, format);
    expect(frames).toBe(5);
    expect((await sharp(still).metadata()).pages ?? 1).toBe(1);
    expect(await pixelsOf(still)).toEqual(await pixelsOf(bytes));
  });

  it('keeps its EXIF, color profile and what is behind the end of the file apart', async () => {
    const exif = { IFD0: { Copyright: 'x' } };
    const image = (await animation(3)).withExif(exif).withIccProfile('p3');
    const bytes = await image.toFormat(format, { delay: [9, 9, 9] }).toBuffer();
    const longer = Buffer.concat([bytes, Buffer.from('<!-- served by a proxy -->')]);
    const { bytes: still, frames } = firstFrameOf(longer, format);
    const [before, after] = await Promise.all([bytes, still].map((each) => sharp(each).metadata()));
    expect(frames).toBe(3);
    expect([after?.exif, after?.icc]).toEqual([before?.exif, before?.icc]);
  });

  it('is as it was where it is a still image, or cut off within its first frame', async () => {
    const bytes = await (await animation(1)).toFormat(format).toBuffer();
    expect(firstFrameOf(bytes, format)).toEqual({ bytes, frames: 1 });
    const cut = bytes.subarray(0, bytes.length - 20);
    expect(firstFrameOf(cut, format)).toEqual({ bytes: cut, frames: 1 });
  });
});

/** The file with its last frame `copies` times. */
function repeated(bytes: Buffer, format: 'webp' | 'gif', copies: number): Buffer {
  if (format === 'webp') {
    const at = bytes.lastIndexOf('ANMF');
    const frame = bytes.subarray(at);
    const whole = Buffer.concat([bytes, ...Array<Buffer>(copies).fill(frame)]);
    whole.writeUInt32LE(whole.length - 8, 4);
    return whole;
  }
  const at = bytes.lastIndexOf(Buffer.from([0x21, 0xf9, 4]));
  const frame = bytes.subarray(at, -1);
  return Buffer.concat([
    bytes.subarray(0, -1),
    ...Array<Buffer>(copies).fill(frame),
    bytes.subarray(-1),
  ]);
}

describe.each(['webp', 'gif'] as const)('a %s of very many frames', (format) => {
  const small = async () => {
    const options = { delay: [100, 100] };
    return await (await animation(2)).toFormat(format, options).toBuffer();
  };

  it('gives the decoder no more than the first', async () => {
    const bytes = repeated(await small(), format, 80_000);
    const { bytes: still, frames } = firstFrameOf(bytes, format);
    expect(frames).toBe(80_002);
    expect(still.byteLength).toBeLessThan(2000);
    const { info } = await openImage(bytes, LIMITS);
    expect(info).toEqual({ width: SIDE, height: SIDE, format, frames: 80_002 });
  });

  it('is refused with the limit', async () => {
    const bytes = repeated(await small(), format, 110_000);
    const problem = { slug: 'image-too-large', extras: { limit: 100_000, actual: 110_002 } };
    await expect(openImage(bytes, LIMITS)).rejects.toMatchObject(problem);
  });
});
