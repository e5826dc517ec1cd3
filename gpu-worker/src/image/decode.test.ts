import { ApiError } from '@blip2/shared/errors';
import { endOf } from '@blip2/shared/image-end';
import fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { openImage } from './decode.ts';
import { preprocess } from './preprocess.ts';

const limits = { maxBytes: 5_000_000, maxPixels: 1_000_000 };
/** Leaves pixels as they are: one value of the result is one eight-bit value over 255. */
const plain = {
  size: 40,
  patch: 8,
  mean: [0, 0, 0] as [number, number, number],
  std: [1, 1, 1] as [number, number, number],
  resample: 'bicubic' as const,
};

/** 60 × 40, red on the left half and blue on the right. */
function halves(): Sharp {
  const half = (background: string) => ({
    create: { width: 30, height: 40, channels: 3 as const, background },
  });
  return sharp({ create: { width: 60, height: 40, channels: 3, background: '#ff0000' } }).composite(
    [{ input: half('#0000ff'), left: 30, top: 0 }],
  );
}

/** RGB of the model's input at a pixel, 0…255. */
async function rgbAt(bytes: Uint8Array, x: number, y: number): Promise<number[]> {
  const { pixels } = await openImage(bytes, limits);
  const values = await preprocess(pixels, plain);
  const plane = plain.size ** 2;
  return [0, 1, 2].map((c) => Math.round(255 * values[c * plane + y * plain.size + x]!));
}

function near(actual: number[], expected: number[], tolerance: number): void {
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!), `${actual} ≠ ${expected}`).toBeLessThanOrEqual(
      tolerance,
    );
  });
}

describe('images of every kind', () => {
  it.each<[string, () => Promise<Buffer>, string, number]>([
    ['JPEG', () => halves().jpeg({ quality: 95 }).toBuffer(), 'jpeg', 6],
    ['PNG', () => halves().png().toBuffer(), 'png', 0],
    ['palette PNG', () => halves().png({ palette: true }).toBuffer(), 'png', 2],
    ['16-bit PNG', () => halves().toColourspace('rgb16').png().toBuffer(), 'png', 1],
    ['WebP', () => halves().webp({ quality: 95 }).toBuffer(), 'webp', 8],
    ['GIF', () => halves().gif().toBuffer(), 'gif', 2],
    ['AVIF', () => halves().avif({ quality: 95 }).toBuffer(), 'avif', 8],
  ])('%s is decoded in its colors', async (_name, make, format, tolerance) => {
    const bytes = await make();
    const { info } = await openImage(bytes, limits);
    expect(info).toEqual({ width: 60, height: 40, format });
    near(await rgbAt(bytes, 5, 20), [255, 0, 0], tolerance);
    near(await rgbAt(bytes, 34, 20), [0, 0, 255], tolerance);
  });

  it('CMYK is converted by its profile', async () => {
    // In the gamut of print, unlike pure red and blue.
    const background = '#a87850';
    const bytes = await sharp({ create: { width: 40, height: 40, channels: 3, background } })
      .toColourspace('cmyk')
      .jpeg({ quality: 95 })
      .toBuffer();
    expect((await sharp(bytes).metadata()).space).toBe('cmyk');
    near(await rgbAt(bytes, 20, 20), [0xa8, 0x78, 0x50], 15);
  });

  it('16-bit gray is scaled, not clipped', async () => {
    const half = new Uint16Array(40 * 40).fill(32_896);
    const bytes = await sharp(Buffer.from(half.buffer), {
      raw: { width: 40, height: 40, channels: 1, depth: 'ushort' } as never,
    })
      .toColourspace('grey16')
      .png()
      .toBuffer();
    expect((await sharp(bytes).metadata()).depth).toBe('ushort');
    near(await rgbAt(bytes, 20, 20), [128, 128, 128], 1);
  });

  it('gray becomes three equal channels', async () => {
    const bytes = await sharp({
      create: { width: 40, height: 40, channels: 3, background: '#646464' },
    })
      .grayscale()
      .png()
      .toBuffer();
    near(await rgbAt(bytes, 20, 20), [100, 100, 100], 1);
  });

  it.each([3, 4] as const)('transparent pixels are white (%i channels and alpha)', async (kind) => {
    let image = sharp({
      create: { width: 40, height: 40, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } },
    });
    if (kind === 4) image = image.toColourspace('b-w');
    near(await rgbAt(await image.png().toBuffer(), 20, 20), [255, 255, 255], 0);
  });

  describe('an animation', () => {
    const animation = async () => {
      const frame = (background: string) =>
        sharp({ create: { width: 40, height: 40, channels: 3, background } })
          .raw()
          .toBuffer();
      const frames = Buffer.concat([await frame('#00ff00'), await frame('#000000')]);
      return sharp(frames, { raw: { width: 40, height: 80, channels: 3, pageHeight: 40 } });
    };

    it('gives its first frame where it is a GIF', async () => {
      const bytes = await (await animation()).gif({ delay: [100, 100] }).toBuffer();
      expect((await sharp(bytes).metadata()).pages).toBe(2);
      expect((await openImage(bytes, limits)).info).toMatchObject({ width: 40, frames: 2 });
      near(await rgbAt(bytes, 20, 20), [0, 255, 0], 2);
    });

    it('gives its first frame where it is a WebP', async () => {
      const bytes = await (await animation())
        .webp({ delay: [100, 100], lossless: true })
        .toBuffer();
      const { info } = await openImage(bytes, limits);
      expect(info).toEqual({ width: 40, height: 40, format: 'webp', frames: 2 });
      near(await rgbAt(bytes, 20, 20), [0, 255, 0], 0);
    });
  });

  it.each(['jpeg', 'png', 'webp', 'gif', 'avif'] as const)(
    'a %s with bytes after its end is what it is without them',
    async (format) => {
      const bytes = await halves().toFormat(format).toBuffer();
      const longer = Buffer.concat([bytes, Buffer.from('<!-- served by a proxy -->\n')]);
      expect((await openImage(longer, limits)).info).toEqual((await openImage(bytes, limits)).info);
      expect(await rgbAt(longer, 5, 20)).toEqual(await rgbAt(bytes, 5, 20));
    },
  );

  it('a JPEG that another one follows, as phones keep depth and bursts, is the first', async () => {
    const other = sharp({ create: { width: 9, height: 9, channels: 3, background: '#ffffff' } });
    const bytes = await Promise.all([halves().jpeg().toBuffer(), other.jpeg().toBuffer()]);
    const { info } = await openImage(Buffer.concat(bytes), limits);
    expect(info).toEqual({ width: 60, height: 40, format: 'jpeg' });
  });

  it.each([
    [1, { width: 60, height: 40 }, [5, 20], [35, 20]],
    [3, { width: 60, height: 40 }, [35, 20], [5, 20]],
    [6, { width: 40, height: 60 }, [20, 5], [20, 35]],
    [8, { width: 40, height: 60 }, [20, 35], [20, 5]],
  ])('EXIF orientation %i is applied', async (orientation, size, red, blue) => {
    const bytes = await halves().withMetadata({ orientation }).png().toBuffer();
    expect((await openImage(bytes, limits)).info).toMatchObject(size);
    near(await rgbAt(bytes, red[0]!, red[1]!), [255, 0, 0], 0);
    near(await rgbAt(bytes, blue[0]!, blue[1]!), [0, 0, 255], 0);
  });

  it('EXIF of a PNG is applied where it stands behind the pixels, too', async () => {
    const bytes = await halves().withMetadata({ orientation: 6 }).png().toBuffer();
    const at = bytes.indexOf('eXIf') - 4;
    const end = at + 12 + bytes.readUInt32BE(at);
    const last = bytes.indexOf('IEND') - 4;
    const late = Buffer.concat([
      bytes.subarray(0, at),
      bytes.subarray(end, last),
      bytes.subarray(at, end),
      bytes.subarray(last),
    ]);
    expect((await openImage(late, limits)).info).toEqual((await openImage(bytes, limits)).info);
    expect(await rgbAt(late, 20, 5)).toEqual(await rgbAt(bytes, 20, 5));
  });
});

/** The first box of an AVIF with a brand, and empty boxes. */
const avif = (brand: string, ...boxes: string[]) =>
  Buffer.from(
    `\0\0\0\x18ftyp${brand}\0\0\0\0mif1avif${boxes.map((box) => `\0\0\0\x08${box}`).join('')}`,
    'latin1',
  );

async function jpegOf12Bits(): Promise<Uint8Array> {
  const bytes = await halves().jpeg().toBuffer();
  bytes[bytes.indexOf(Buffer.from([0xff, 0xc0])) + 4] = 12;
  return bytes;
}

describe('bytes that are no image', () => {
  const refuse = async (bytes: Uint8Array): Promise<ApiError> => {
    try {
      const { pixels } = await openImage(bytes, limits);
      await preprocess(pixels, plain);
    } catch (error) {
      if (error instanceof ApiError) return error;
      throw error;
    }
    throw new Error('was not refused');
  };

  it.each<[string, () => Promise<Uint8Array>, string]>([
    ['nothing', async () => new Uint8Array(), 'no-image'],
    ['noise', async () => new Uint8Array(500).fill(9), 'invalid-image'],
    ['a JPEG of 12 bits', jpegOf12Bits, 'unsupported-media-type'],
    ['text', async () => Buffer.from('hello world'), 'invalid-image'],
    ['a TIFF', () => halves().tiff().toBuffer(), 'unsupported-media-type'],
    ['an AVIF of nothing', async () => avif('avif'), 'invalid-image'],
    ['a HEIF of nothing', async () => avif('mif1'), 'invalid-image'],
    ['a sequence without a still image', async () => avif('avis', 'moov'), 'invalid-image'],
    [
      'an SVG',
      async () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
      'unsupported-media-type',
    ],
    ['too many bytes', async () => new Uint8Array(limits.maxBytes + 1), 'body-too-large'],
  ])('%s is refused', async (_name, make, slug) => {
    expect(await refuse(await make())).toMatchObject({ slug, extras: { field: 'image' } });
  });

  it.each<[string, () => Promise<Buffer>]>([
    ['TIFF', () => halves().tiff().toBuffer()],
    [
      'SVG',
      async () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    ],
  ])('no parser of %s sees them', async (_format, make) => {
    await expect(sharp(await make()).metadata()).rejects.toThrow('unsupported image format');
  });

  it('are refused as a problem with them, whatever follows the first bytes', async () => {
    const begins = ['\x89PNG\r\n\x1a\n', '\0\0\0\x18ftypavis\0\0\0\0mif1avif', 'RIFF    WEBP'];
    const boxes = ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsz', 'meta', 'acTL', 'IDAT'];
    const part = fc.tuple(fc.constantFrom(0, 1, 8, 9, 24, 2 ** 31), fc.constantFrom(...boxes));
    const rest = fc.array(fc.oneof(part, fc.uint8Array({ maxLength: 20 })), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...begins), rest, async (begin, parts) => {
        const bytes = parts.map((piece) => {
          if (piece instanceof Uint8Array) return piece;
          const header = Buffer.alloc(8);
          header.writeUInt32BE(piece[0]);
          header.write(piece[1], 4, 'latin1');
          return header;
        });
        const error = await refuse(Buffer.concat([Buffer.from(begin, 'latin1'), ...bytes]));
        expect(error.status).toBe(400);
      }),
    );
  });

  /** The details of images that cannot be decoded: never the library's messages. */
  const OURS =
    /^(The image is damaged or cut off: its pixels cannot be decoded\.|The image begins as \w+ does and is damaged or cut off: its header cannot be read\.|The image is cut off: the end of its file is missing\. Send all of it\.)$/;

  it.each(['jpeg', 'png', 'webp', 'gif', 'avif'] as const)(
    'a truncated %s is refused, without the message of the library',
    async (format) => {
      const noise = Buffer.from(
        Uint8Array.from({ length: 3 * 90 * 90 }, (_, i) => (i * 7919) % 251),
      );
      const whole = await sharp(noise, { raw: { width: 90, height: 90, channels: 3 } })
        .toFormat(format)
        .toBuffer();
      for (const share of [0.1, 0.5, 0.9]) {
        const cut = whole.subarray(0, Math.floor(whole.length * share));
        const { slug, message } = await refuse(cut);
        expect(slug, `${share}`).toBe('invalid-image');
        expect(message).toMatch(OURS);
      }
    },
  );

  const noiseOf = (width: number, height: number, seed: number) => {
    const values = (_: unknown, i: number) => ((i * 7919 + (i >> 4) * seed) % 251) >> (seed % 3);
    const raw = { width, height, channels: 3 } as const;
    return sharp(Buffer.from(Uint8Array.from({ length: 3 * width * height }, values)), { raw });
  };
  const opens = async (bytes: Uint8Array) => {
    try {
      await preprocess((await openImage(bytes, limits)).pixels, plain);
      return true;
    } catch {
      return false;
    }
  };
  const animated = (seed: number) => {
    const input = { create: { width: 24, height: 72, channels: 3, background: '#123' } } as const;
    const frames = {
      ...input.create,
      pageHeight: 24,
      noise: { type: 'gaussian', mean: 90, sigma: seed },
    };
    return sharp({ create: frames as never });
  };

  it.each<[string, (seed: number) => Sharp]>([
    ['JPEG', (seed) => noiseOf(50, 40, seed).jpeg({ quality: 50 + seed })],
    ['progressive JPEG', (seed) => noiseOf(50, 40, seed).jpeg({ progressive: true })],
    ['PNG', (seed) => noiseOf(50, 40, seed).png()],
    ['interlaced PNG', (seed) => noiseOf(50, 40, seed).png({ progressive: true })],
    ['WebP', (seed) => noiseOf(50, 40, seed).webp()],
    ['WebP without losses', (seed) => noiseOf(50, 40, seed).webp({ lossless: true })],
    ['animated WebP', (seed) => animated(seed).webp()],
    ['GIF', (seed) => noiseOf(50, 40, seed).gif()],
    ['animated GIF', (seed) => animated(seed).gif()],
  ])('half of a %s is seen without decoding, and nothing that is decoded', async (_, make) => {
    for (let seed = 1; seed <= 6; seed++) {
      const whole = await make(seed).toBuffer();
      expect(endOf(whole).isCutOff).toBe(false);
      const shares = [0.1, 0.3, 0.6, 0.75, 0.9].map((share) => Math.floor(whole.length * share));
      const ends = Array.from({ length: 16 }, (_, i) => whole.length - 1 - i);
      for (const length of [...shares, ...ends]) {
        const cut = whole.subarray(0, length);
        if (endOf(cut).isCutOff)
          expect(await opens(cut), `${length} of ${whole.length}`).toBe(false);
      }
      expect(endOf(whole.subarray(0, Math.floor(whole.length * 0.3))).isCutOff).toBe(true);
    }
  });

  it('a JPEG without its end is refused, whether or not the decoder reads that far', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const whole = await noiseOf(8 + (seed % 5), 8, seed)
        .jpeg()
        .toBuffer();
      expect(await opens(whole)).toBe(true);
      expect(await opens(Buffer.concat([whole, Buffer.alloc(9)]))).toBe(true);
      expect((await refuse(whole.subarray(0, -2))).slug).toBe('invalid-image');
    }
  });

  it('a damaged PNG is refused, without the message of the library', async () => {
    const bytes = new Uint8Array(await halves().png().toBuffer());
    const error = await refuse(bytes.fill(0x5a, Math.floor(bytes.length / 2)));
    expect(error.message).toMatch(OURS);
    expect(String(error.cause)).toMatch(/png/i);
    expect(JSON.stringify(error.toProblem())).not.toMatch(/pngload|vips|sharp/i);
  });

  it('a decompression bomb is refused by its header, with the limit', async () => {
    const bomb = await sharp({
      create: { width: 20_000, height: 2000, channels: 3, background: '#fff' },
    })
      .png()
      .toBuffer();
    const error = await refuse(bomb);
    expect(error.toProblem()).toMatchObject({
      type: '/problems/image-too-large',
      limit: limits.maxPixels,
      actual: 40_000_000,
    });
  });
});
