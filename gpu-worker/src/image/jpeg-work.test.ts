/** JPEGs whose scans take long, in files of any size; none is decoded here. */
import sharp, { type JpegOptions } from 'sharp';
import { describe, expect, it } from 'vitest';
import { checkCost, type Header } from './cost.ts';
import { openImage } from './decode.ts';
import { workOfJpeg } from './jpeg-work.ts';

const LIMITS = { maxBytes: 2e7, maxPixels: 5e7 };
const ALL = { isMultiple: true, most: 101 };
const [BASELINE, PROGRESSIVE, ARITHMETIC, PROGRESSIVE_ARITHMETIC] = [0xc0, 0xc2, 0xc9, 0xca];

function segment(marker: number, ...content: number[]): Buffer {
  return Buffer.from([0xff, marker, 0, content.length + 2, ...content]);
}

type Made = { frame: number; width: number; height: number; components: number };

/** All of its pixels are one color, as far as its scans say anything. */
function jpegOf({ frame, width, height, components }: Made, scans: Buffer[]): Buffer {
  const size = [height >> 8, height & 255, width >> 8, width & 255, components];
  const ids = Array.from({ length: components }, (_, i) => i + 1);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, 0, ...Array<number>(64).fill(1)),
    segment(frame, 8, ...size, ...ids.flatMap((id) => [id, 0x11, 0])),
    ...scans,
    Buffer.from([0xff, 0xd9]),
  ]);
}

const scan = (id: number, from: number, to: number) =>
  Buffer.concat([segment(0xda, 1, id, 0, from, to, 0), Buffer.from([0])]);
const scansOf = (count: number, components: number) => [
  segment(
    0xda,
    components,
    ...Array.from({ length: components }, (_, i) => [i + 1, 0]).flat(),
    0,
    0,
    0,
  ),
  ...Array.from({ length: count - 1 }, (_, i) => scan(1 + (i % components), 1, 63)),
];

describe('work of a JPEG', () => {
  it.each<[string, Made, number]>([
    ['Huffman', { frame: PROGRESSIVE, width: 10_000, height: 5000, components: 4 }, 57],
    ['arithmetic', { frame: PROGRESSIVE_ARITHMETIC, width: 5000, height: 5000, components: 1 }, 43],
    ['arithmetic', { frame: PROGRESSIVE_ARITHMETIC, width: 5000, height: 5000, components: 3 }, 43],
  ])(
    'a few bytes of %s that pass over all of it again and again: refused',
    async (_, made, scans) => {
      const bytes = jpegOf(made, scansOf(scans, made.components));
      await expect(openImage(bytes, LIMITS)).rejects.toMatchObject({
        slug: 'image-too-large',
        extras: { field: 'image', limit: expect.any(Number), actual: expect.any(Number) },
      });
    },
  );

  it('is what its scans pass over', () => {
    const made = { frame: PROGRESSIVE, width: 800, height: 80, components: 1 };
    const bytes = jpegOf(made, [scan(1, 0, 0), scan(1, 1, 5), scan(1, 6, 63)]);
    const blocks = 1000;
    expect(workOfJpeg(bytes, ALL)).toEqual({
      ...{ scans: 3, isArithmetic: false },
      coefficients: blocks * (1 + 5 + 58 + 3 * 4),
    });
    // Of one that is not progressive each has all, and the decoder reads none behind the first where that is whole.
    const plain = jpegOf({ ...made, frame: ARITHMETIC }, [scan(1, 0, 0), scan(1, 1, 5)]);
    expect(workOfJpeg(plain, { isMultiple: false, most: 101 })).toEqual({
      ...{ scans: 1, isArithmetic: true },
      coefficients: blocks * (64 + 4),
    });
    const baseline = jpegOf({ ...made, frame: BASELINE }, [scan(1, 0, 63)]);
    expect(workOfJpeg(baseline, ALL).isArithmetic).toBe(false);
  });

  it('is hidden by no marker without a segment, nor by filling bytes', () => {
    const made = { frame: PROGRESSIVE, width: 800, height: 80, components: 1 };
    const plain = workOfJpeg(jpegOf(made, scansOf(9, 1)), ALL);
    for (const marker of [
      [0xff, 0x01],
      [0xff, 0xd3],
      [0xff, 0xff],
      [0xff, 0x02],
    ]) {
      const hidden = [Buffer.from([...marker, 0x7f, 0x7f]), ...scansOf(9, 1)];
      expect(workOfJpeg(jpegOf(made, hidden), ALL)).toEqual(plain);
    }
  });

  it('coded arithmetically counts by its bytes, too', () => {
    const header: Header = {
      ...{ format: 'jpeg', width: 1000, height: 1000, channels: 3, bytesPerSample: 1 },
      ...{ isProgressive: false, isTurned: false, frames: 1, tiles: 0, codedBytes: 5e6 },
      ...{ profileBytes: 0, exifBytes: 0, scans: 1, coefficients: 4e6 },
    };
    checkCost(header, LIMITS);
    const check = () => checkCost({ ...header, isArithmetic: true }, LIMITS);
    expect(check).toThrow(/in 5000000 bytes; at most \d+ .*Huffman/);
  });

  const photo = { chromaSubsampling: '4:4:4', quality: 90 };
  it.each<[string, JpegOptions]>([
    ['baseline', photo],
    ['progressive', { ...photo, progressive: true }],
    ['of less color', { quality: 90, progressive: true }],
    ['of mozjpeg', { ...photo, mozjpeg: true }],
    ['of mozjpeg, with less color', { quality: 75, mozjpeg: true }],
  ])('50 megapixels of a photo are accepted, %s', async (_, options) => {
    const side = 640;
    const noise = { type: 'gaussian', mean: 120, sigma: 40 } as const;
    const create = { width: side, height: side, channels: 3, background: '#123', noise } as const;
    const bytes = await sharp({ create }).jpeg(options).toBuffer();
    const { isProgressive } = await sharp(bytes).metadata();
    const { coefficients, ...work } = workOfJpeg(bytes, { ...ALL, isMultiple: isProgressive });
    expect(coefficients).toBeGreaterThan(side ** 2);
    const large = {
      ...{ format: 'jpeg' as const, width: 10_000, height: 5000, channels: 3 },
      ...{ bytesPerSample: 1 as const, isTurned: false, frames: 1, tiles: 0, isProgressive },
      ...{ codedBytes: 2e7, profileBytes: 0, exifBytes: 0 },
    };
    checkCost({ ...large, ...work, coefficients: (coefficients * 5e7) / side ** 2 }, LIMITS);
  });
});
