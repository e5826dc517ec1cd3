import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { placesOf, UNKNOWN } from './avif-places.ts';

const GOLDEN = new URL('../../../test/parity/golden/images/', import.meta.url);
const FILE_BYTES = 1000;

type Table = { version: number; lengthBytes?: number; items: number[][] };

/** A file of nothing but the places of its items: of each the lengths of its ranges. */
function fileOf({ version, lengthBytes = 4, items }: Table): Uint8Array {
  const number = (value: number, bytes: number) =>
    Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256);
  const id = version < 2 ? 2 : 4;
  const places = items.flatMap((lengths, i) => [
    ...number(i + 1, id),
    ...(version > 0 ? [0, 1] : []),
    ...[0, 0, ...number(0, 8), ...number(lengths.length, 2)],
    ...lengths.flatMap((length) => [
      ...(version > 0 ? number(7, 4) : []),
      ...number(9, 4),
      ...number(length, lengthBytes),
    ]),
  ]);
  const [sizes, more] = [0x40 | lengthBytes, version > 0 ? 0x84 : 0x80];
  const iloc = [...[version, 0, 0, 0, sizes, more], ...number(items.length, id), ...places];
  const box = (type: string, content: number[]) => [
    ...number(8 + content.length, 4),
    ...Buffer.from(type),
    ...content,
  ];
  const file = box('meta', [0, 0, 0, 0, ...box('hdlr', [1, 2, 3]), ...box('iloc', iloc)]);
  return Uint8Array.from([...file, ...box('free', Array(FILE_BYTES - 8 - file.length).fill(0))]);
}

describe('bytes of the items of an AVIF', () => {
  it.each<[string, Table, number]>([
    ['ranges of all items', { version: 0, items: [[20], [30, 40]] }, 90],
    ['items with a place to count from', { version: 1, items: [[20], [30, 40]] }, 90],
    ['items with long ids', { version: 2, items: [[20], [], [30, 40]] }, 90],
    ['lengths of 64 bits', { version: 1, lengthBytes: 8, items: [[20], [2 ** 33]] }, 20 + 2 ** 33],
    ['a range without a length', { version: 0, items: [[20], [0]] }, 20 + FILE_BYTES],
    ['no lengths at all', { version: 0, lengthBytes: 0, items: [[1], [2, 3]] }, 3 * FILE_BYTES],
    ['lengths as no format has them', { version: 0, lengthBytes: 3, items: [[1]] }, FILE_BYTES],
  ])('%s', (_name, table, bytes) => {
    expect(placesOf(fileOf(table)).codedBytes).toBe(bytes);
  });

  it('are those of the file where its table is cut off or damaged', () => {
    const file = fileOf({ version: 1, items: [[20], [30, 40]] });
    const tableEnd = Buffer.from(file).readUInt32BE();
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, value) => {
        const damaged = file.with(at, value);
        expect(placesOf(damaged).codedBytes).toBeGreaterThanOrEqual(0);
        const cut = file.subarray(0, at);
        if (at < tableEnd) expect(placesOf(cut).codedBytes).toBe(cut.length);
      }),
    );
  });

  it('are not looked at where an item is stored in another, or in two places', () => {
    const file = Buffer.from(fileOf({ version: 1, items: [[20], [30]] }));
    expect(placesOf(file).places.get(1)?.ranges).not.toEqual([UNKNOWN]);
    // Behind type, version, sizes, number of items and of the first one.
    const methodAt = file.indexOf('iloc') + 15;
    expect(placesOf(new Uint8Array(file).with(methodAt, 2)).places.get(1)?.ranges).toEqual([
      UNKNOWN,
    ]);
    const secondAt = file.indexOf(Buffer.from([0, 2, 0, 1]), methodAt);
    expect(placesOf(new Uint8Array(file).with(secondAt + 1, 1)).places.get(1)?.ranges).toEqual([
      UNKNOWN,
    ]);
  });

  it('of real files are about all of a still image, and little of an animation', async () => {
    const canvas = { width: 64, height: 64, channels: 3, background: '#123' } as const;
    const still = await sharp({ create: canvas }).avif().toBuffer();
    expect(still.length - placesOf(still).codedBytes).toBeLessThan(400);
    const animated = await readFile(new URL('animated.avif', GOLDEN));
    expect(placesOf(animated).codedBytes).toBe(306);
    const grid = await readFile(new URL('grid.avif', GOLDEN));
    expect(grid.length - placesOf(grid).codedBytes).toBeLessThan(800);
  });
});
