import { expect, it } from 'vitest';
import { framesOfAv1 } from './av1-frames.ts';

/** One part of a type, without content or with so many bytes. */
const part = (type: number, size = 0) => [(type << 3) | 2, size, ...Array<number>(size).fill(0)];
const [SEQUENCE, DELIMITER, HEADER, TILES, FRAME] = [1, 2, 3, 4, 6];

it.each<[string, number[], number]>([
  ['of nothing', [], 0],
  ['a whole one', [...part(DELIMITER), ...part(SEQUENCE, 10), ...part(FRAME, 99)], 1],
  ['in two parts', [...part(HEADER, 9), ...part(TILES, 50), ...part(TILES, 50)], 1],
  ['several', [...part(FRAME, 9), ...part(DELIMITER), ...part(FRAME, 9), ...part(HEADER, 1)], 3],
  ['between zeros', [0, 0, ...part(FRAME, 9), 0, ...part(FRAME, 9), 0], 2],
  ['with a layer in the header', [(FRAME << 3) | 6, 8, 1, 0, ...part(FRAME)], 2],
  ['with a size in several bytes', [(FRAME << 3) | 2, 0x81, 0x80, 0, 7, ...part(FRAME)], 2],
  ['without a size, to the end', [(FRAME << 3) | 0, ...part(FRAME), ...part(FRAME)], 1],
  ['cut off', [...part(FRAME), (FRAME << 3) | 2, 0x80], 2],
  ['too many parts', Array<number[]>(10_001).fill(part(DELIMITER)).flat(), 2 ** 53 - 1],
])('frames: %s', (_name, bytes, frames) => {
  expect(framesOfAv1(Uint8Array.from(bytes))).toBe(frames);
});
