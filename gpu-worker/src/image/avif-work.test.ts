import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it, vi } from 'vitest';
import { workOfAvif } from './avif-work.ts';
import { openImage } from './decode.ts';
import {
  type AvifItem,
  type AvifReference,
  avifOf,
  box,
  cutTo,
  gridItem,
  isAlpha,
  moreProperties,
  quarterTurn,
  square,
} from './testing/avif-file.ts';

const GOLDEN = new URL('../../../test/parity/golden/images/', import.meta.url);
const LIMITS = { maxBytes: 2e7, maxPixels: 5e7 };
const MEBIBYTE = 2 ** 20;

const [small, large] = await Promise.all([square(64), square(1000)]);
const PIXELS = 1000 ** 2;
const ENDLESS = Number.MAX_SAFE_INTEGER;
/** What a frame may have, however small it says that it is. */
const FRAME = 256 ** 2;

const withProperties = (item: AvifItem, ...more: Buffer[]) => ({
  ...item,
  properties: [...item.properties, ...more],
});
const alpha = withProperties(large, isAlpha);
const repeated = (item: AvifItem, times: number) => ({
  ...item,
  data: Buffer.concat(Array<Uint8Array>(times).fill(item.data)),
});
const parts = (of: number, part: number, times: number): AvifReference => [
  'dimg',
  of,
  Array<number>(times).fill(part),
];
const withFramesBefore = (item: AvifItem, times: number) => {
  const [config = Buffer.alloc(0), ...others] = item.properties;
  const frames = Array<Uint8Array>(times).fill(item.data);
  return { ...item, properties: [box('av1C', config.subarray(8, 12), ...frames), ...others] };
};
const identity = { ...gridItem(1, 1, 1000), type: 'iden', data: Buffer.alloc(0) };
const withoutSize = { ...alpha, properties: [alpha.properties[0], isAlpha] as Buffer[] };

describe('pixels that are decoded for an AVIF', () => {
  it.each<[string, AvifItem[], AvifReference[], number]>([
    ['its own', [large], [], PIXELS],
    ['those that are cut off', [withProperties(large, cutTo(64))], [], PIXELS],
    ['a part as often as a grid has it', [gridItem(4, 4, 64), large], [parts(1, 2, 16)], 16e6],
    ['those of the grid where its parts have fewer', [gridItem(1, 1, 99)], [], 99 ** 2],
    [
      'parts of parts',
      [gridItem(2, 2, 64), identity, large],
      [parts(1, 2, 4), parts(2, 3, 1)],
      4e6,
    ],
    ['alpha that is larger', [small, alpha], [['auxl', 2, [1]]], PIXELS],
    ['alpha of the same size is free', [large, alpha], [['auxl', 2, [1]]], PIXELS],
    ['several alphas', [small, alpha, alpha], [2, 3].map((from) => ['auxl', from, [1]]), 2e6],
    [
      'alpha of alpha',
      [small, alpha, alpha],
      [
        ['auxl', 2, [1]],
        ['auxl', 3, [2]],
      ],
      2e6,
    ],
    [
      'parts whose frames may be larger than they',
      [gridItem(4, 4, 64), small],
      [parts(1, 2, 16)],
      16 * FRAME,
    ],
    [
      'alpha of each part',
      [gridItem(2, 2, 64), small, alpha],
      [parts(1, 2, 4), ['auxl', 3, [2]]],
      4e6,
    ],
    [
      'parts of an alpha',
      [small, withProperties(gridItem(2, 2, 64), isAlpha), large],
      [
        ['auxl', 2, [1]],
        ['dimg', 2, [3, 3, 3, 3]],
      ],
      4e6,
    ],
    ['all frames', [repeated(large, 10)], [], 9e6],
    [
      'frames that may be larger than it',
      [{ ...small, data: repeated(large, 10).data }],
      [],
      9 * FRAME,
    ],
    ['frames before its bytes', [withFramesBefore(large, 10)], [], 10e6],
    [
      'frames of an item that is said to be made of others',
      [repeated(large, 10), small],
      [parts(1, 2, 1)],
      9e6,
    ],
    [
      'further turns',
      [withProperties(large, ...Array<Buffer>(13).fill(quarterTurn))],
      [],
      11 * PIXELS,
    ],
    [
      'an image of itself',
      [gridItem(1, 1, 64), identity],
      [parts(1, 2, 1), parts(2, 1, 1)],
      ENDLESS,
    ],
    ['alpha without a size', [small, withoutSize], [['auxl', 2, [1]]], ENDLESS],
    ['no thumbnails', [small, large], [['thmb', 2, [1]]], 64 ** 2],
    ['no other kind of images beside it', [small, large], [['auxl', 2, [1]]], 64 ** 2],
  ])('%s', (_name, items, references, pixels) => {
    expect(workOfAvif(avifOf(items, references)).pixels).toBe(pixels);
  });

  it('grow no faster than the table where each item is made of the one before it, twice', () => {
    const chain = Array.from({ length: 60 }, () => gridItem(1, 2, 64));
    const references = chain.map((_, i) => parts(i + 1, i + 2, 1000));
    expect(workOfAvif(avifOf([...chain, small], references)).pixels).toBe(ENDLESS);
  });

  it('are countless where items have more properties than are looked at, in however many tables', async () => {
    const sized = { ...small, properties: small.properties.toReversed() };
    const fileOf = (tables: number) =>
      avifOf([sized], [], Array<Buffer>(tables).fill(moreProperties(10_000)));
    expect(workOfAvif(fileOf(20)).pixels).toBe(64 ** 2);
    const bytes = fileOf(90);
    expect(workOfAvif(bytes).pixels).toBe(ENDLESS);
    expect((await sharp(bytes).metadata()).format).toBe('heif');
    await expect(openImage(bytes, LIMITS)).rejects.toMatchObject({ slug: 'image-too-large' });
  });

  it('take no longer to count for properties that no item can have', () => {
    const bytes = avifOf([withProperties(small, ...Array<Buffer>(40_000).fill(quarterTurn))]);
    const typeAt = vi.spyOn(String, 'fromCharCode');
    workOfAvif(bytes);
    expect(typeAt.mock.calls.length).toBeLessThan(33_000);
    typeAt.mockRestore();
  });

  it('are numbers of whatever is damaged', () => {
    const file = avifOf([gridItem(2, 2, 64), small, alpha], [parts(1, 2, 4), ['auxl', 3, [2]]]);
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, value) => {
        for (const bytes of [new Uint8Array(file).with(at, value), file.subarray(0, at)]) {
          const { pixels, largest, codedBytes } = workOfAvif(bytes);
          for (const each of [pixels, largest, codedBytes]) expect(each).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['grid.avif', 4],
    ['grid-of-shown-items.avif', 4],
    ['alpha.avif', 1],
    ['rotated.avif', 1],
  ])('of %s are those that it shows, and some at edges', async (name, tiles) => {
    const bytes = await readFile(new URL(name, GOLDEN));
    const { width, height } = await sharp(bytes, { pages: 1 }).metadata();
    const work = workOfAvif(bytes);
    // Of small parts each counts as what a frame may have.
    expect(work.pixels).toBe(tiles === 1 ? width * height : tiles * FRAME);
    expect(work.largest).toBe(tiles === 1 ? work.pixels : width * height);
  });
});

it('bytes of a part count as often as it is decoded', () => {
  const file = avifOf([gridItem(4, 4, 64), large], [parts(1, 2, 16)]);
  expect(workOfAvif(file).codedBytes).toBe(8 + 16 * large.data.length);
});

describe('an AVIF that shows little of what it is made of', () => {
  it.each<[string, AvifItem[], AvifReference[]]>([
    ['a grid', [gridItem(6, 6, 64), large], [parts(1, 2, 36)]],
    ['frames', [repeated(large, 40)], []],
    ['turns', [withProperties(large, ...Array<Buffer>(60).fill(quarterTurn))], []],
  ])('%s: refused before it is decoded', async (_name, items, references) => {
    const bytes = avifOf(items, references);
    expect((await sharp(bytes).metadata()).format).toBe('heif');
    await expect(openImage(bytes, LIMITS)).rejects.toMatchObject({
      slug: 'image-too-large',
      message: expect.stringMatching(
        / for which \d+ are decoded: .*at most 31250000 in all.*magick/,
      ),
      extras: { field: 'image', limit: 31_250_000 },
    });
  });

  it.each<[string, AvifItem[], AvifReference[], number]>([
    ['what is cut off', [withProperties(large, cutTo(64))], [], 18],
    ['a grid', [gridItem(2, 2, 64), large], [parts(1, 2, 4)], 4 * 14],
    ['alpha', [small, alpha], [['auxl', 2, [1]]], 18],
  ])('%s: its memory is in the estimate', async (_name, items, references, least) => {
    const { memory, pixels } = await openImage(avifOf(items, references), LIMITS);
    expect(memory / MEBIBYTE).toBeGreaterThan((least * PIXELS) / MEBIBYTE - 1);
    expect((await pixels.raw().toBuffer({ resolveWithObject: true })).info.width).toBe(64);
  });

  it('a grid of parts of its own size is decoded', async () => {
    const bytes = avifOf([gridItem(2, 2, 512), await square(256)], [parts(1, 2, 4)]);
    const { info } = await openImage(bytes, { ...LIMITS, maxPixels: 2 * 512 ** 2 });
    expect(info).toEqual({ width: 512, height: 512, format: 'avif' });
  });
});
