/** The resize against its definition: two passes over whole images, with the same weights. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { gradient } from '../../../test/support/gradient.ts';
import { FILTERS, type ResampleFilter, type RgbImage, resample } from './resample.ts';

const SIDE = 56;

/** One pass over all rows, by the formula: sum of weight · value, rounded and clipped to 0…255. */
function horizontal({ data, width, height }: RgbImage, to: number, filter: ResampleFilter) {
  const { support, weight } = FILTERS[filter];
  const scale = width / to;
  const stretch = Math.max(1, scale);
  const out: RgbImage = { data: new Uint8Array(3 * to * height), width: to, height };
  for (let x = 0; x < to; x++) {
    const center = (x + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support * stretch + 0.5));
    const end = Math.min(width, Math.trunc(center + support * stretch + 0.5));
    const exact = Array.from({ length: end - from }, (_, i) =>
      weight((i + from - center + 0.5) * (1 / stretch)),
    );
    const sum = exact.reduce((total, value) => total + value, 0);
    const fixed = exact.map((value) => {
      const scaled = (value / sum) * 2 ** 22;
      return Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
    });
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < 3; c++) {
        const value = fixed.reduce(
          (total, one, i) => total + one * data[3 * (y * width + from + i) + c]!,
          2 ** 21,
        );
        out.data[3 * (y * to + x) + c] = Math.min(255, Math.max(0, Math.floor(value / 2 ** 22)));
      }
    }
  }
  return out;
}

function transposed({ data, width, height }: RgbImage): RgbImage {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      out.set(data.subarray(3 * (y * width + x), 3 * (y * width + x + 1)), 3 * (x * height + y));
    }
  }
  return { data: out, width: height, height: width };
}

function twoPasses(image: RgbImage, width: number, height: number, filter: ResampleFilter) {
  const rows = (one: RgbImage) => (one.width === width ? one : horizontal(one, width, filter));
  const columns = (one: RgbImage) =>
    one.height === height ? one : transposed(horizontal(transposed(one), height, filter));
  const isTall = image.height > 100 * image.width && height < image.height;
  return isTall ? rows(columns(image)) : columns(rows(image));
}

const side = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 60 }));
const shape = fc.oneof(
  fc.tuple(side, side),
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 700 })),
);

it('equals two passes over the whole image, also where a part of it is kept', () => {
  const filter = fc.constantFrom(...(Object.keys(FILTERS) as ResampleFilter[]));
  fc.assert(
    fc.property(
      fc.oneof(
        shape,
        shape.map(([a, b]) => [b, a] as [number, number]),
      ),
      fc.tuple(side, side),
      filter,
      fc.integer(),
      fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat()),
      ([width, height], [toWidth, toHeight], by, seed, [a, b, c, d]) => {
        const data = Uint8Array.from(
          { length: 3 * width * height },
          (_, i) => Math.imul(i + seed, 0x9e3779b1) >>> 24,
        );
        const image = { data, width, height };
        const whole = twoPasses(image, toWidth, toHeight, by);
        expect(resample(image, toWidth, toHeight, by)).toEqual(whole);
        const [left, top] = [a % toWidth, b % toHeight];
        const kept = {
          ...{ left, top },
          width: 1 + (c % (toWidth - left)),
          height: 1 + (d % (toHeight - top)),
        };
        const part = resample(image, toWidth, toHeight, by, kept);
        for (let y = 0; y < kept.height; y++) {
          const from = 3 * ((top + y) * toWidth + left);
          expect(part.data.subarray(3 * y * kept.width, 3 * (y + 1) * kept.width)).toEqual(
            whole.data.subarray(from, from + 3 * kept.width),
          );
        }
      },
    ),
    { numRuns: 300 },
  );
});

const LONG = 1_000_000;

/** Counts, and ends at once what does much more than it has to: that might take hours. */
function limited(most: number) {
  let count = 0;
  return (more: number) => {
    count += more;
    if (count > most) throw new Error(`more than ${most}`);
  };
}

/** Bytes of an image of which each one that is read is counted. */
function watched(bytes: Uint8Array, count: (bytes: number) => void): Uint8Array {
  return new Proxy(bytes, {
    get: (target, key) => {
      if (key !== 'subarray') count(1);
      else {
        return (from: number, to: number) => {
          count(to - from);
          return target.subarray(from, to);
        };
      }
      return Reflect.get(target, key, target);
    },
  });
}

type Sides = [width: number, height: number];

it.each<[string, string, Sides, Sides]>([
  ['as tall as wide', 'a square', [1, LONG], [SIDE, SIDE]],
  ['as wide as tall', 'a square', [LONG, 1], [SIDE, SIDE]],
  ['as tall as wide', 'a strip of which the middle is left', [1, LONG], [SIDE, SIDE * LONG]],
  ['as wide as tall', 'a strip of which the middle is left', [LONG, 1], [SIDE * LONG, SIDE]],
])(
  'each pixel of an image a million times %s is read and weighed once for %s',
  (_, _to, from, to) => {
    const image = gradient(...from);
    const { box } = FILTERS;
    const { weight } = box;
    const countTap = limited(1.01 * LONG);
    const data = watched(image.data, limited(3 * 1.01 * LONG));
    const [left, top] = to.map((side) => (side - SIDE) / 2) as [number, number];
    box.weight = (x) => {
      countTap(1);
      return weight(x);
    };
    try {
      const middle = { left, top, width: SIDE, height: SIDE };
      const resized = resample({ ...image, data }, ...to, 'box', middle).data;
      for (let i = 0; i < SIDE; i++) {
        const at = 3 * (from[0] === 1 ? i * SIDE : i);
        const red = to[0] === to[1] ? (256 * (i + 0.5)) / SIDE : 128;
        for (const [channel, value] of [red, 255 - red, 128].entries()) {
          expect(Math.abs(resized[at + channel]! - value)).toBeLessThan(2);
        }
      }
    } finally {
      box.weight = weight;
    }
  },
);
