import { readFile } from 'node:fs/promises';
import { deflateSync } from 'node:zlib';
import { ApiError } from '@blip2/shared/errors';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { chunk } from '../../../test/support/large-png.ts';
import { checkCost, type Header, memoryOf } from './cost.ts';
import { openImage } from './decode.ts';
import { tilesOf } from './frames.ts';
import { avifOf, isAlpha, square } from './testing/avif-file.ts';

const LIMITS = { maxBytes: 2e7, maxPixels: 5e7 };
const PLAIN: Header = {
  ...{ format: 'png', width: 4000, height: 3000, channels: 3, bytesPerSample: 1 },
  ...{ isProgressive: false, isTurned: false, frames: 1, tiles: 0, scans: 1, codedBytes: 0 },
  ...{ profileBytes: 0, exifBytes: 0 },
};
const MEBIBYTE = 2 ** 20;

describe('what an image costs by its header', () => {
  it.each<[string, Partial<Header>, RegExp]>([
    [
      'pixels',
      { width: 8000, height: 8000 },
      /^The image is 8000 × 8000 pixels; at most 50000000 /,
    ],
    [
      'pixels of AVIF',
      { format: 'avif', width: 5001, height: 5000 },
      /5001 × 5000 pixels as AVIF; at most 25000000 in all .*JPEG \(at most 50000000\)/,
    ],
    [
      'pixels of AVIF of premultiplied alpha',
      { format: 'avif', isPremultiplied: true, channels: 4, width: 5000, height: 2501 },
      /5000 × 2501 pixels as AVIF of premultiplied alpha; at most 12500000 in all /,
    ],
    [
      'pixels of an interlaced PNG that is heavy twice',
      {
        ...{ isProgressive: true, isTurned: true, bytesPerSample: 2, channels: 4 },
        ...{ width: 5000, height: 2501 },
      },
      /an interlaced PNG of 16 bits a channel with transparency, turned by EXIF; at most 12500000 /,
    ],
    [
      'pixels of an interlaced PNG',
      { isProgressive: true, width: 5001, height: 5000 },
      /5001 × 5000 pixels as an interlaced PNG; at most 25000000 .*send it as JPEG/,
    ],
    [
      'pixels of CMYK',
      { format: 'jpeg', channels: 4, isCmyk: true, width: 5001, height: 5000 },
      /5001 × 5000 pixels as JPEG of CMYK; at most 25000000 .*JPEG of RGB \(at most 50000000\)/,
    ],
    [
      'pixels of 16 bits a channel',
      { bytesPerSample: 2, width: 5001, height: 5000 },
      /as PNG of 16 bits a channel; at most 25000000 .*JPEG/,
    ],
    [
      'pixels with alpha that are turned',
      { channels: 4, isTurned: true, width: 5001, height: 5000 },
      /as PNG with transparency, turned by EXIF; at most 25000000 .*JPEG/,
    ],
    [
      'bytes of an AVIF of many pixels',
      { format: 'avif', width: 5000, height: 5000, codedBytes: 5_000_000 },
      /AVIF of 5000 × 5000 pixels in 5000000 bytes; at most 4166666 .*lower quality.*JPEG/,
    ],
    [
      'bytes of an AVIF of few',
      { format: 'avif', width: 2000, height: 2500, codedBytes: 11_000_000 },
      /at most 10833333 are accepted of so many pixels/,
    ],
    [
      'bytes of a WebP',
      { format: 'webp', width: 7000, height: 7000, codedBytes: 9_000_000 },
      /WebP of 7000 × 7000 pixels in 9000000 bytes; at most 8666666 /,
    ],
    ['a side', { width: 1, height: 1_000_001 }, /^The image is 1 × 1000001 pixels; a side of at /],
    ['frames', { format: 'gif', frames: 100_001 }, /has 100001 frames; at most 100000 .*ffmpeg/],
    ['a grid', { format: 'avif', tiles: 1025 }, /a grid of 1025 images; at most 1024 .*magick/],
    [
      'parts of an AVIF',
      { format: 'avif', width: 64, height: 64, pixels: 31_250_001 },
      /64 × 64 pixels, for which 31250001 are decoded: .*; at most 31250000 in all .*magick/,
    ],
    [
      'parts that cannot be counted',
      { format: 'avif', width: 64, height: 64, pixels: Number.MAX_SAFE_INTEGER },
      /for which countless are decoded/,
    ],
    [
      'bytes of an AVIF whose parts have many pixels',
      { format: 'avif', width: 64, height: 64, pixels: 25e6, codedBytes: 6_000_000 },
      /AVIF of 64 × 64 pixels in 6000000 bytes; at most 5833333 /,
    ],
    ['scans', { format: 'jpeg', scans: 101 }, /a JPEG of more than 100 scans.*magick/],
    ['a profile', { profileBytes: 5 * MEBIBYTE }, /5242880 bytes of color profile.*exiftool/],
    ['EXIF', { exifBytes: 2 * MEBIBYTE }, /2097152 bytes of EXIF; at most 1048576.*exiftool/],
    [
      'memory',
      { format: 'avif', channels: 4, bytesPerSample: 2, width: 5000, height: 5000 },
      /\(5000 × 5000 pixels, AVIF, 16 bits a channel\) takes about \d+ MiB of memory; at most 512 /,
    ],
  ])('%s: refused with the limit and what to do', (_name, change, detail) => {
    const header = { ...PLAIN, ...change };
    const check = () => checkCost(header, { ...LIMITS, maxMemory: 512 * MEBIBYTE });
    expect(check).toThrow(ApiError);
    expect(check).toThrow(detail);
    expect(check).toThrow(
      expect.objectContaining({
        slug: 'image-too-large',
        extras: { field: 'image', limit: expect.any(Number), actual: expect.any(Number) },
      }),
    );
  });

  it.each<[string, Partial<Header>]>([
    ['PNG', {}],
    ['PNG with alpha', { channels: 4 }],
    ['a turned JPEG', { format: 'jpeg', isTurned: true }],
    ['progressive JPEG', { format: 'jpeg', isProgressive: true, codedBytes: 2e7 }],
    ['GIF', { format: 'gif', codedBytes: 2e7 }],
    ['WebP', { format: 'webp', codedBytes: 8e6 }],
  ])('50 megapixels of %s are accepted', (_name, change) => {
    checkCost({ ...PLAIN, width: 10_000, height: 5000, ...change }, LIMITS);
  });

  it.each<[string, Partial<Header>]>([
    ['AVIF', { format: 'avif', codedBytes: 4e6 }],
    ['AVIF in a grid', { format: 'avif', codedBytes: 4e6, pixels: 31_250_000, largest: 262_144 }],
    ['interlaced PNG', { isProgressive: true, codedBytes: 2e7 }],
    ['CMYK', { format: 'jpeg', channels: 4, isCmyk: true, coefficients: 3e8, codedBytes: 2e7 }],
  ])('25 megapixels of %s are accepted', (_name, change) => {
    checkCost({ ...PLAIN, width: 5000, height: 5000, ...change }, LIMITS);
  });

  it('an operator moves the limits of all formats, and never those of few pixels', () => {
    const avif = { ...PLAIN, format: 'avif' as const, width: 1000, height: 1000 };
    checkCost({ ...avif, codedBytes: 12e6 }, { maxPixels: 2e6 });
    expect(() => checkCost(avif, { maxPixels: 1e6 })).toThrow(/at most 500000 in all/);
    checkCost({ ...avif, width: 50_000, codedBytes: 8e6 }, { maxPixels: 1e8 });
  });

  it('the largest part of an AVIF is in its memory, and of a grid several at a time', () => {
    const avif = { ...PLAIN, format: 'avif' as const };
    const whole = memoryOf(avif);
    const tiny = { ...avif, width: 64, height: 64 };
    expect(memoryOf({ ...tiny, pixels: 12e6, largest: 12e6 })).toBeGreaterThan(0.99 * whole);
    expect(memoryOf({ ...tiny, pixels: 60e6, largest: 6e6 })).toBeGreaterThan(1.5 * whole);
    expect(memoryOf({ ...avif, pixels: 14e6, largest: 262_144 })).toBe(whole);
  });

  it('an ordinary photo is cheap, and what is held as a whole costs more', () => {
    const plain = memoryOf(PLAIN);
    expect(plain).toBeLessThan(64 * MEBIBYTE);
    for (const change of [
      { isTurned: true },
      { isProgressive: true },
      { format: 'webp' },
      { format: 'gif' },
      { format: 'avif' },
      { bytesPerSample: 2, isTurned: true },
    ] as const) {
      expect(memoryOf({ ...PLAIN, ...change })).toBeGreaterThan(plain + 12e6);
    }
  });
});

/** A PNG with chunks before its pixels. */
async function pngWith(...chunks: Buffer[]): Promise<Buffer> {
  const png = await sharp({ create: { width: 40, height: 40, channels: 3, background: '#123' } })
    .png()
    .toBuffer();
  return Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)]);
}

describe('files of formats that take longer', () => {
  const noise = (side: number) =>
    sharp({
      create: {
        ...{ width: side, height: side, channels: 3, background: '#123' },
        noise: { type: 'gaussian', mean: 120, sigma: 40 },
      },
    });
  const limits = { maxBytes: 2e7, maxPixels: 20_000 };

  it.each(['png', 'avif'] as const)('%s: half as many pixels, to the pixel', async (format) => {
    const options = format === 'png' ? { progressive: true } : { effort: 0 };
    const made = async (side: number) => await noise(side).toFormat(format, options).toBuffer();
    await openImage(await made(100), limits);
    await expect(openImage(await made(101), limits)).rejects.toMatchObject({
      slug: 'image-too-large',
      extras: { field: 'image', limit: 10_000, actual: 10_201 },
    });
  });

  it.each<[string, (image: Sharp) => Sharp]>([
    ['CMYK', (image) => image.toColourspace('cmyk').jpeg()],
    ['16 bits', (image) => image.toColourspace('rgb16').png()],
    ['alpha turned', (image) => image.ensureAlpha(0.5).withMetadata({ orientation: 6 }).png()],
  ])('%s: half as many pixels, by the header', async (_, make) => {
    await openImage(await make(noise(100)).toBuffer(), limits);
    const refused = openImage(await make(noise(101)).toBuffer(), limits);
    await expect(refused).rejects.toMatchObject({ extras: { limit: 10_000, actual: 10_201 } });
  });

  it('AVIF of premultiplied alpha: a quarter as many pixels, by the file', async () => {
    const made = async (side: number) => {
      const image = await square(side);
      const alpha = { ...image, properties: [...image.properties, isAlpha] };
      return avifOf(
        [image, alpha],
        [
          ['auxl', 2, [1]],
          ['prem', 1, [2]],
        ],
      );
    };
    await openImage(await made(70), limits);
    await expect(openImage(await made(72), limits)).rejects.toMatchObject({
      extras: { limit: 5000, actual: 5184 },
    });
  });

  it('an interlaced PNG at its limit is decoded as a plain one', async () => {
    const { data, info } = await noise(100).raw().toBuffer({ resolveWithObject: true });
    const raw = { width: info.width, height: info.height, channels: 3 } as const;
    const [plain, interlaced] = await Promise.all(
      [false, true].map(async (progressive) => {
        const png = await sharp(data, { raw }).png({ progressive }).toBuffer();
        const { pixels } = await openImage(png, limits);
        return await pixels.raw().toBuffer();
      }),
    );
    expect(interlaced).toEqual(plain);
    expect(plain).toEqual(data);
  });
});

describe('files whose pixels are few', () => {
  it('texts and profiles of a PNG that are a thousand times as large inflated never are', async () => {
    const bomb = deflateSync(Buffer.alloc(2 ** 26));
    const text = chunk('zTXt', Buffer.concat([Buffer.from('a\0\0', 'latin1'), bomb]));
    const profile = chunk('iCCP', Buffer.concat([Buffer.from('a\0\0', 'latin1'), bomb]));
    const bytes = await pngWith(profile, ...Array.from({ length: 200 }, () => text));
    expect(bytes.length).toBeGreaterThan(1e7);
    const { info, pixels, memory } = await openImage(bytes, LIMITS);
    expect(info).toEqual({ width: 40, height: 40, format: 'png' });
    expect(memory).toBeLessThan(MEBIBYTE);
    const metadata = await pixels.clone().metadata();
    expect(metadata.icc ?? metadata.comments).toBeUndefined();
  });

  it.each<[string, () => Promise<Buffer>, RegExp]>([
    [
      'EXIF',
      () => pngWith(chunk('eXIf', Buffer.concat([exif, Buffer.alloc(2e6)]))),
      /bytes of EXIF/,
    ],
    ['frames', gifOfFrames, /has 100001 frames/],
    ['scans', jpegOfScans, /more than 100 scans/],
  ])('%s beyond the limit: refused', async (_name, make, detail) => {
    await expect(openImage(await make(), LIMITS)).rejects.toThrow(detail);
  });
});

it('the images of a grid are counted', async () => {
  const golden = new URL('../../../test/parity/golden/images/grid.avif', import.meta.url);
  expect(tilesOf(await readFile(golden))).toBe(4);
  expect(tilesOf(await gridOfMany())).toBe(2000);
});

/** Little endian, one empty directory. */
const exif = Buffer.from('II*\0\x08\0\0\0\0\0\0\0\0\0', 'latin1');

async function gifOfFrames(): Promise<Buffer> {
  const head = Buffer.from('GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff', 'latin1');
  const frame = Buffer.from([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
  return Buffer.concat([head, Buffer.alloc(100_001 * frame.length, frame), Buffer.from(';')]);
}

/** An AVIF one of whose items says that it is made of many others. */
async function gridOfMany(): Promise<Buffer> {
  const avif = await sharp({ create: { width: 40, height: 40, channels: 3, background: '#123' } })
    .avif()
    .toBuffer();
  const item = Buffer.alloc(12 + 2 * 2000);
  item.writeUInt32BE(item.length);
  item.write('dimg', 4);
  item.writeUInt16BE(9, 8);
  item.writeUInt16BE(2000, 10);
  item.fill(Buffer.from([0, 1]), 12);
  const references = Buffer.concat([Buffer.alloc(12), item]);
  references.writeUInt32BE(references.length);
  references.write('iref', 4);
  // At the end of `meta`. What follows moves, and is not read.
  const at = avif.indexOf('meta') - 4;
  const end = at + avif.readUInt32BE(at);
  const meta = Buffer.concat([avif.subarray(at, end), references]);
  meta.writeUInt32BE(meta.length);
  return Buffer.concat([avif.subarray(0, at), meta, avif.subarray(end)]);
}

/** A progressive JPEG that says its last scan over and over. */
async function jpegOfScans(): Promise<Buffer> {
  const jpeg = await sharp({ create: { width: 40, height: 40, channels: 3, background: '#123' } })
    .jpeg({ progressive: true })
    .toBuffer();
  const last = jpeg.subarray(jpeg.lastIndexOf(Buffer.from([0xff, 0xda])), -2);
  return Buffer.concat([
    jpeg.subarray(0, -2),
    Buffer.alloc(100 * last.length, last),
    jpeg.subarray(-2),
  ]);
}
