/** What the decoder gets of an AVIF: a file that can be read in one way only, and shows the same. */
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { workOfAvif } from './avif-work.ts';
import { openImage } from './decode.ts';
import { stillAvif } from './input-avif.ts';
import {
  type AvifItem,
  type AvifReference,
  avifOf,
  box,
  gridItem,
  isAlpha,
  moreProperties,
  quarterTurn,
  square,
} from './testing/avif-file.ts';

const GOLDEN = new URL('../../../test/parity/golden/images/', import.meta.url);
const LIMITS = { maxBytes: 2e7, maxPixels: 5e7 };

const [small, large] = await Promise.all([square(64), square(1000)]);
const withProperties = (item: AvifItem, ...more: Buffer[]) => ({
  ...item,
  properties: [...item.properties, ...more],
});
const parts = (times: number): AvifReference => ['dimg', 1, Array<number>(times).fill(2)];

/** Boxes at the top, with what is in them. */
function boxesOf(bytes: Uint8Array): Map<string, Buffer> {
  const file = Buffer.from(bytes);
  const boxes = new Map<string, Buffer>();
  for (let at = 0; at < file.length; at += file.readUInt32BE(at)) {
    boxes.set(
      file.toString('latin1', at + 4, at + 8),
      file.subarray(at + 8, at + file.readUInt32BE(at)),
    );
  }
  return boxes;
}

async function pixelsOf(bytes: Uint8Array): Promise<Buffer> {
  return await sharp(bytes, { pages: 1 }).autoOrient().raw().toBuffer();
}

const scene = (channels: 3 | 4 = 3) => {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const plain = sharp({
    create: { width: 90, height: 70, channels: 3, background: '#c33', noise },
  });
  return channels === 3
    ? plain
    : plain.joinChannel(Buffer.alloc(90 * 70, 99), { raw: { width: 90, height: 70, channels: 1 } });
};

describe('an AVIF shows the same', () => {
  it.each<[string, () => Promise<Uint8Array>]>([
    ...['alpha', 'alpha-premultiplied', 'grid', 'grid-of-shown-items', 'rotated'].map(
      (name): [string, () => Promise<Uint8Array>] => [
        name,
        () => readFile(new URL(`${name}.avif`, GOLDEN)),
      ],
    ),
    [
      'with alpha and all metadata',
      () =>
        scene(4)
          .withExif({ IFD0: { Artist: 'x' } })
          .withXmp('<x:xmpmeta/>')
          .withIccProfile('p3')
          .avif()
          .toBuffer(),
    ],
    ['of 12 bits', () => scene().avif({ bitdepth: 12 }).toBuffer()],
    ['without loss', () => scene().avif({ lossless: true }).toBuffer()],
    [
      'a grid whose parts are turned',
      async () => avifOf([gridItem(2, 3, 64), withProperties(small, quarterTurn)], [parts(6)]),
    ],
    ['of a property many times', async () => avifOf([small], [], [moreProperties(600)])],
  ])('%s', async (_, make) => {
    const bytes = await make();
    const written = stillAvif(bytes);
    expect(await pixelsOf(written)).toEqual(await pixelsOf(bytes));
    const [before, after] = [await sharp(bytes).metadata(), await sharp(written).metadata()];
    const { width, height, channels, depth, hasAlpha, icc } = before;
    expect(after).toMatchObject({ width, height, channels, depth, hasAlpha });
    expect(after.icc).toEqual(icc);
    expect([after.exif, after.xmp]).toEqual([undefined, undefined]);
  });
});

/** One box has room for all that follows within the same. */
function covering(file: Buffer, type: string, next: string): Buffer {
  const changed = Buffer.from(file);
  const [at, other] = [file.indexOf(type) - 4, file.indexOf(next) - 4];
  changed.writeUInt32BE(file.readUInt32BE(at) + file.readUInt32BE(other), at);
  return changed;
}

/** A file, and the tables and the content of another one behind it. */
function withTablesOf(file: Buffer, other: Buffer): Buffer {
  const from = other.indexOf('meta') - 4;
  const rest = Buffer.from(other.subarray(from));
  const table = rest.indexOf('iloc') + 12;
  for (let i = 0; i < rest.readUInt16BE(table - 2); i++) {
    const at = table + 14 * i + 6;
    rest.writeUInt32BE(rest.readUInt32BE(at) + file.length - from, at);
  }
  return Buffer.concat([file, rest]);
}

describe('what the decoder would read otherwise than we do is not there', () => {
  const grid = avifOf([gridItem(4, 4, 64), large], [['thmb', 2, [1]], parts(16)]);

  it.each<[string, Buffer]>([
    ['parts of a grid behind the size of another reference', covering(grid, 'thmb', 'dimg')],
    ['tables that stand twice', withTablesOf(avifOf([small]), grid)],
  ])('%s', async (_, bytes) => {
    const written = stillAvif(bytes);
    // What is left of the grid has no parts to be decoded.
    expect(boxesOf(written).get('mdat')?.includes(Buffer.from(large.data))).toBe(false);
    expect(workOfAvif(written).codedBytes).toBeLessThan(large.data.length);
    const opened = openImage(bytes, LIMITS).then(({ pixels }) => pixels.raw().toBuffer());
    await opened.catch(({ message }) => expect(message).not.toBe(''));
  });

  it('EXIF behind the size of another reference', async () => {
    const exif: AvifItem = { type: 'Exif', data: Buffer.from('\0\0\0\0II*\0'), properties: [] };
    const file = avifOf(
      [small, exif],
      [
        ['thmb', 2, [1]],
        ['cdsc', 2, [1]],
      ],
    );
    const written = stillAvif(covering(file, 'thmb', 'cdsc'));
    expect(Buffer.from(written).includes('II*\0')).toBe(false);
    expect(await pixelsOf(written)).toEqual(await pixelsOf(avifOf([small])));
  });

  it('boxes by the thousand, and what items share with none of it', async () => {
    const free = Array<Buffer>(5000).fill(box('free'));
    const unused = [large, withProperties(large, isAlpha)];
    const bytes = Buffer.concat([avifOf([small, ...unused], [['thmb', 2, [1]]]), ...free]);
    const boxes = boxesOf(stillAvif(bytes));
    expect([...boxes.keys()]).toEqual(['ftyp', 'meta', 'mdat']);
    expect(boxes.get('mdat')).toEqual(Buffer.from(small.data));
    expect(await pixelsOf(stillAvif(bytes))).toEqual(await pixelsOf(avifOf([small])));
  });
});

/** Null where it is refused. */
function writtenOf(bytes: Uint8Array): Uint8Array | null {
  try {
    return stillAvif(bytes);
  } catch (thrown) {
    expect(thrown).toMatchObject({ slug: 'invalid-image' });
    return null;
  }
}

it('an item that is cut off is none, though its first frames are there', async () => {
  const twice = { ...small, data: Buffer.concat([small.data, small.data]) };
  const bytes = avifOf([twice]);
  expect((await openImage(bytes, LIMITS)).info).toMatchObject({ width: 64 });
  const cut = bytes.subarray(0, bytes.length - small.data.length);
  expect(() => stillAvif(cut)).toThrow(/damaged or cut off/);
});

it('what is written is read as it was written, whatever was damaged', () => {
  const alpha = withProperties(large, isAlpha);
  const file = avifOf(
    [gridItem(2, 2, 64), small, alpha],
    [parts(4), ['auxl', 3, [2]], ['prem', 2, [3]]],
  );
  fc.assert(
    fc.property(fc.nat(file.indexOf('mdat')), fc.nat(255), (at, value) => {
      for (const bytes of [new Uint8Array(file).with(at, value), file.subarray(0, at)]) {
        const written = writtenOf(bytes);
        if (written === null) continue;
        expect(Buffer.compare(stillAvif(written), written)).toBe(0);
      }
    }),
    { numRuns: 2000 },
  );
});

it.each([
  [
    'however many items each is to',
    Array<AvifReference>(3).fill(['dimg', 1, Array(65_535).fill(2)]),
  ],
  ['however few', Array<AvifReference>(60_000).fill(['dimg', 1, [2, 2, 2]])],
])('references without bound are refused, %s', (_name, references) => {
  const refused = expect.objectContaining({ slug: 'image-too-large' });
  expect(() => stillAvif(avifOf([small], references))).toThrow(refused);
  const [first = parts(1)] = references;
  expect(stillAvif(avifOf([small], [first, first])).length).toBeGreaterThan(small.data.length);
});

it('items in the same bytes over and over are refused', () => {
  const many = avifOf(Array(3).fill(large), [['dimg', 1, [2, 3]]]);
  const table = many.indexOf('iloc') + 12;
  // All that follows, from one byte later each.
  for (const i of [0, 1, 2]) {
    const at = table + 14 * i + 6;
    many.writeUInt32BE(i + 1, at);
    many.writeUInt32BE(many.length - i - 1, at + 4);
  }
  expect(() => stillAvif(many)).toThrow(/same bytes/);
});
