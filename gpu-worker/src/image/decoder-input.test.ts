/** What the decoder gets of files whose parts are there to cost it time, and that honest ones lose nothing by it. */
import fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { chunk } from '../../../test/support/large-png.ts';
import { openImage } from './decode.ts';
import { decoderInputOf } from './decoder-input.ts';
import { orientationOf } from './exif.ts';

const LIMITS = { maxBytes: 2e7, maxPixels: 1e6 };
const PREFIX = Buffer.from('Exif\0\0', 'latin1');

/** By its number in TIFF. */
const BYTES_OF_TYPE = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

type Entry = { tag: number; type: number; count: number; value: number };
const turned = (value: number): Entry => ({ tag: 0x0112, type: 3, count: 1, value });
/** One that names the directory that it is in as a further one. */
const loop = (tag: number): Entry => ({ tag, type: 4, count: 1, value: 8 });

/** A TIFF of one directory. */
function exifOf(entries: Entry[], isLittle = true): Buffer {
  const bytes = Buffer.alloc(8 + 2 + 12 * entries.length + 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  bytes.write(isLittle ? 'II*\0' : 'MM\0*', 'latin1');
  view.setUint32(4, 8, isLittle);
  view.setUint16(8, entries.length, isLittle);
  entries.forEach(({ tag, type, count, value }, i) => {
    const at = 10 + 12 * i;
    view.setUint16(at, tag, isLittle);
    view.setUint16(at + 2, type, isLittle);
    view.setUint32(at + 4, count, isLittle);
    if (type === 3) view.setUint16(at + 8, value, isLittle);
    else view.setUint32(at + 8, value, isLittle);
  });
  return bytes;
}

const image = () =>
  sharp({ create: { width: 60, height: 40, channels: 3, background: '#c33' } }).composite([
    {
      input: { create: { width: 9, height: 7, channels: 3, background: '#3c3' } },
      left: 2,
      top: 3,
    },
  ]);

function segment(marker: number, content: Uint8Array): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(content.length + 2, 2);
  return Buffer.concat([head, content]);
}

const behind = (file: Buffer, at: number, ...parts: Uint8Array[]) =>
  Buffer.concat([file.subarray(0, at), ...parts, file.subarray(at)]);

const jpegWith = async (...segments: Buffer[]) =>
  behind(await image().jpeg().toBuffer(), 2, ...segments);
const pngWith = async (...chunks: Buffer[]) =>
  behind(await image().png().toBuffer(), 33, ...chunks);

const riffChunk = (type: string, data: Uint8Array) => {
  const head = Buffer.from(`${type}\0\0\0\0`, 'latin1');
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
};

async function webpWith(...chunks: Buffer[]): Promise<Buffer> {
  const simple = await image().webp({ lossless: true }).toBuffer();
  // Has EXIF; width and height less one.
  const header = riffChunk('VP8X', Buffer.from([8, 0, 0, 0, 59, 0, 0, 39, 0, 0]));
  const file = Buffer.concat([simple.subarray(0, 12), header, simple.subarray(12), ...chunks]);
  file.writeUInt32LE(file.length - 8, 4);
  return file;
}

/** An AVIF whose EXIF is `exif`, or begins with it. */
async function avifWith(exif: Buffer): Promise<Buffer> {
  const mark = 'x'.repeat(exif.length);
  const file = await image()
    .withExif({ IFD0: { ImageDescription: mark } })
    .avif({ lossless: true })
    .toBuffer();
  const at = Math.max(file.indexOf('II*\0'), file.indexOf('MM\0*'));
  exif.copy(file, at);
  return file;
}

const WITH_EXIF: [string, 'jpeg' | 'png' | 'webp', (exif: Buffer) => Promise<Buffer>][] = [
  ['JPEG', 'jpeg', (exif) => jpegWith(segment(0xe1, Buffer.concat([PREFIX, exif])))],
  ['PNG', 'png', (exif) => pngWith(chunk('eXIf', exif))],
  ['WebP', 'webp', (exif) => webpWith(riffChunk('EXIF', exif))],
];

async function pixelsOf(pixels: Sharp): Promise<Buffer> {
  return await pixels.raw().toBuffer();
}

/** The pixels that we and the decoder alone make of a file. */
async function expectAsDecoder(bytes: Buffer): Promise<void> {
  const { info, pixels } = await openImage(bytes, LIMITS);
  const alone = sharp(bytes, { pages: 1 }).autoOrient().flatten({ background: '#ffffff' });
  expect(await pixelsOf(pixels)).toEqual(await pixelsOf(alone));
  const { width, height } = (await sharp(bytes).metadata()).autoOrient;
  expect(info).toMatchObject({ width, height });
}

describe('EXIF', () => {
  it.each(WITH_EXIF)('of a %s turns it as ever', async (_, _format, make) => {
    for (const isLittle of [true, false]) {
      for (const value of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) {
        await expectAsDecoder(await make(exifOf([turned(value)], isLittle)));
      }
    }
  });

  it.each(WITH_EXIF)('of a %s has one entry, whatever it had', async (_, format, make) => {
    const loops = Array<Entry>(2000).fill(loop(0x8769));
    const bytes = await make(exifOf([...loops, turned(6), ...loops]));
    const input = decoderInputOf(bytes, format);
    expect(bytes.length - input.bytes.length).toBeGreaterThan(47_000);
    const { exif, orientation } = await sharp(input.bytes).metadata();
    expect(exif?.length).toBeLessThan(40);
    expect(orientation).toBe(6);
    expect((await openImage(bytes, LIMITS)).info).toMatchObject({ width: 40, height: 60 });
  });

  it.each(WITH_EXIF)('of a %s without an orientation is left out', async (_, format, make) => {
    const input = decoderInputOf(await make(exifOf([loop(0x8825)])), format);
    expect(Buffer.from(input.bytes).includes('II*\0')).toBe(false);
    expect((await sharp(input.bytes).metadata()).exif).toBeUndefined();
  });

  it('of an AVIF reaches no decoder, and turns nothing', async () => {
    const bytes = await avifWith(exifOf([turned(6), ...Array<Entry>(50).fill(loop(0x8769))]));
    expect((await sharp(bytes).metadata()).exif).toBeDefined();
    const input = decoderInputOf(bytes, 'avif');
    expect((await sharp(input.bytes).metadata()).exif).toBeUndefined();
    await expectAsDecoder(bytes);
  });

  it('means what the decoder reads in it, whatever the entries', async () => {
    const jpeg = await image().jpeg().toBuffer();
    const orientation = async (exif: Uint8Array | undefined) => {
      const parts = exif === undefined ? [] : [segment(0xe1, Buffer.concat([PREFIX, exif]))];
      return (await sharp(behind(jpeg, 2, ...parts)).metadata()).orientation ?? 1;
    };
    const entry = fc.record({
      tag: fc.constantFrom(0x0112, 0x0112, 0x010f, 0x8769, 0x0113),
      type: fc.integer({ min: 0, max: 14 }),
      count: fc.constantFrom(0, 1, 1, 1, 2, 4),
      value: fc.integer({ min: 0, max: 9 }),
    });
    const cut = fc.integer({ min: 0, max: 30 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 4 }),
        fc.boolean(),
        cut,
        async (list, ...how) => {
          const whole = exifOf(list, how[0]);
          const exif = whole.subarray(0, Math.max(whole.length - how[1], 0));
          // Of values that stand elsewhere the decoder reads what no program writes.
          const bytesOf = ({ type, count }: Entry) => (BYTES_OF_TYPE[type] ?? 0) * count;
          fc.pre(list.every((each) => bytesOf(each) <= 4));
          expect(await orientation(orientationOf(exif))).toBe(await orientation(exif));
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('parts by the thousand', () => {
  it('of a JPEG: comments and metadata stay out, tables and the kind of colors in', async () => {
    const junk = [0xe1, 0xe3, 0xed, 0xef, 0xfe].map((marker) => segment(marker, Buffer.from('x')));
    const bytes = await jpegWith(...Array.from({ length: 500 }, () => junk).flat());
    const plain = await jpegWith();
    expect(decoderInputOf(bytes, 'jpeg').bytes).toEqual(new Uint8Array(plain));
    expect(decoderInputOf(plain, 'jpeg').bytes).toBe(plain);
  });

  it('of a JPEG: filling bytes and what is between segments stay out', async () => {
    const bytes = await jpegWith(Buffer.alloc(1000, 0xff), segment(0xfe, Buffer.from('x')));
    const garbled = await jpegWith(Buffer.from('garbage\xff\0\xff\xd0', 'latin1'));
    const plain = new Uint8Array(await jpegWith());
    expect(decoderInputOf(bytes, 'jpeg').bytes).toEqual(plain);
    expect(decoderInputOf(garbled, 'jpeg').bytes).toEqual(plain);
  });

  it.each(['jpeg', 'png', 'webp'] as const)('a %s with all kinds is as it was', async (format) => {
    const metadata = { IFD0: { ImageDescription: 'x'.repeat(999) } };
    const full = image().withExif(metadata).withXmp('<x:xmpmeta/>').withIccProfile('p3');
    const oriented = full.withMetadata({ orientation: 5 });
    await expectAsDecoder(await oriented.toFormat(format).toBuffer());
  });

  it('of a PNG: no more than two of a kind that says what pixels mean', async () => {
    const palette = await image().png({ palette: true }).toBuffer();
    const transparency = Array<Buffer>(1000).fill(chunk('tRNS', Buffer.from([0])));
    const many = behind(palette, palette.indexOf('IDAT') - 4, ...transparency);
    const { length } = decoderInputOf(many, 'png').bytes;
    expect(length).toBeLessThanOrEqual(palette.length + 2 * 13);
    const suggested = await pngWith(...Array<Buffer>(1000).fill(chunk('PLTE', Buffer.alloc(3))));
    expect(decoderInputOf(suggested, 'png').bytes.length).toBeLessThan(1000);
    await expectAsDecoder(suggested);
  });

  it('of a PNG: a palette twice is refused, as ever', async () => {
    const palette = await image().png({ palette: true }).toBuffer();
    const twice = behind(palette, 33, chunk('PLTE', Buffer.alloc(3)));
    await expect(openImage(twice, LIMITS)).rejects.toMatchObject({ slug: 'invalid-image' });
  });

  it('of a WebP: unknown and repeated chunks stay out', async () => {
    const junk = ['JUNK', 'XMP ', 'EXIF', 'ICCP'].map((type) => riffChunk(type, Buffer.from('xy')));
    const bytes = await webpWith(...Array.from({ length: 500 }, () => junk).flat());
    const input = decoderInputOf(bytes, 'webp').bytes;
    expect(input.length).toBeLessThan((await webpWith()).length + 2 * 12);
    expect(Buffer.from(input).readUInt32LE(4)).toBe(input.length - 8);
    await expectAsDecoder(bytes);
  });

  it('of a WebP: one that is shorter than it says stays so', async () => {
    const bytes = await webpWith(riffChunk('JUNK', Buffer.alloc(90)));
    const input = Buffer.from(decoderInputOf(bytes.subarray(0, -4), 'webp').bytes);
    expect(input.readUInt32LE(4)).toBe(input.length - 8 + 4);
  });
});
