/**
 * Pillow's 8-bit resize, bit for bit: the resampling the published checkpoints were trained with.
 *
 * Two passes, rows first, with fixed-point weights (22 bits) and 8-bit values in between, as in Pillow's
 * `Resample.c`; columns first where an image is over a hundred times as tall as wide, as in its `Image.resize`.
 * libvips resizes with other phases and edges: up to 9 of 255 off when shrinking, 86 when growing.
 *
 * Here each row goes through both passes before the next: sums of integers do not depend on their order, and memory is
 * that of the output, whatever the height of the input. The work is a few operations for each pixel of the input, and
 * some for the output, for every shape.
 */
export type ResampleFilter = 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

/** An RGB image, uint8 [height, width, 3]. */
export type RgbImage = { data: Uint8Array; width: number; height: number };

/** The part of a resized image that is wanted: nothing else of it is computed. */
export type Window = { left: number; top: number; width: number; height: number };

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Hamming's coefficients are of single precision there. */
const [H0, H1] = [Math.fround(0.54), Math.fround(0.46)];

/** Half the width of each filter, and its weight at a distance; `bicubic` is Keys' with a = −0.5. */
export const FILTERS: Record<ResampleFilter, { support: number; weight: (x: number) => number }> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (H0 + H1 * Math.cos(Math.PI * x))),
  },
  bicubic: {
    support: 2,
    weight: (signed) => {
      const x = Math.abs(signed);
      const a = -0.5;
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** 32 − 8 bits of a value − 2 bits of headroom for sums that overshoot. */
const PRECISION_BITS = 22;

/** For each output position: the first input position that it reads, the one behind the last, and fixed-point weights. */
type Taps = { first: Int32Array; end: Int32Array; weights: Int32Array; stride: number };

/** @param span the output positions to compute, of `outputSize` */
function taps(
  inputSize: number,
  outputSize: number,
  filter: ResampleFilter,
  span: { from: number; count: number },
): Taps {
  const { support: radius, weight } = FILTERS[filter];
  const scale = inputSize / outputSize;
  const stretch = Math.max(scale, 1);
  const shrink = 1 / stretch;
  const support = radius * stretch;
  const stride = Math.min(inputSize, Math.ceil(support) * 2 + 1);
  const first = new Int32Array(span.count);
  const end = new Int32Array(span.count);
  const weights = new Int32Array(span.count * stride);
  const exact = new Float64Array(stride);
  for (let position = 0; position < span.count; position++) {
    const center = (span.from + position + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support + 0.5));
    const to = Math.min(inputSize, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let i = from; i < to; i++) {
      const value = weight((i - center + 0.5) * shrink);
      exact[i - from] = value;
      sum += value;
    }
    first[position] = from;
    end[position] = to;
    for (let i = 0; i < to - from; i++) {
      const fixed = ((exact[i] as number) / sum) * 2 ** PRECISION_BITS;
      weights[position * stride + i] = Math.trunc(fixed + (fixed < 0 ? -0.5 : 0.5));
    }
  }
  return { first, end, weights, stride };
}

/** An image that is so many times as tall as wide is made shorter before it is made wider. */
const TALL = 100;

const HALF = 1 << (PRECISION_BITS - 1);

/**
 * @param window the part of the resized image to return; all of it by default
 * @returns that part, of the image at [height, width], whatever its aspect was
 * @example resample(image, 224, 298, 'bicubic', { left: 0, top: 37, width: 224, height: 224 }) // a center crop
 */
export function resample(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResampleFilter,
  window: Window = { left: 0, top: 0, width, height },
): RgbImage {
  const isTall = image.height > TALL * image.width && height < image.height;
  if (isTall) {
    const strip = bothPasses(image, image.width, height, filter, {
      ...window,
      left: 0,
      width: image.width,
    });
    return bothPasses(strip, width, strip.height, filter, { ...window, top: 0 });
  }
  return bothPasses(image, width, height, filter, window);
}

function bothPasses(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResampleFilter,
  window: Window,
): RgbImage {
  const rows = taps(image.height, height, filter, { from: window.top, count: window.height });
  const sums = verticalSums(rows, lineReader(image, width, filter, window));
  const out = new Uint8ClampedArray(sums.length);
  for (let i = 0; i < sums.length; i++) out[i] = (sums[i] as number) >> PRECISION_BITS;
  return { data: new Uint8Array(out.buffer), width: window.width, height: window.height };
}

/** Rows of the image after the horizontal pass, one at a time. */
type LineReader = {
  /** Values in a row. */
  length: number;
  /** Row `y`, valid until the next one is read. */
  read: (y: number) => Uint8Array | Uint8ClampedArray;
};

function lineReader(
  image: RgbImage,
  width: number,
  filter: ResampleFilter,
  window: Window,
): LineReader {
  const { data, width: inputWidth } = image;
  const length = 3 * window.width;
  if (inputWidth === width) {
    const from = (y: number) => 3 * (y * width + window.left);
    return { length, read: (y) => data.subarray(from(y), from(y) + length) };
  }
  const columns = taps(inputWidth, width, filter, { from: window.left, count: window.width });
  const line = new Uint8ClampedArray(length);
  return {
    length,
    read: (y) => {
      resampleLine(data, 3 * y * inputWidth, columns, line);
      return line;
    },
  };
}

/** @param start where the row begins in `data` */
function resampleLine(
  data: Uint8Array,
  start: number,
  { first, end, weights, stride }: Taps,
  line: Uint8ClampedArray,
): void {
  for (let x = 0; x < first.length; x++) {
    let [red, green, blue] = [HALF, HALF, HALF];
    const from = first[x] as number;
    let at = start + 3 * from;
    const last = x * stride + (end[x] as number) - from;
    for (let i = x * stride; i < last; i++, at += 3) {
      const weight = weights[i] as number;
      red += weight * (data[at] as number);
      green += weight * (data[at + 1] as number);
      blue += weight * (data[at + 2] as number);
    }
    line[3 * x] = red >> PRECISION_BITS;
    line[3 * x + 1] = green >> PRECISION_BITS;
    line[3 * x + 2] = blue >> PRECISION_BITS;
  }
}

/** Adds each row of the input to the few rows of the output that it is a part of. @returns int32 [output rows, line length] */
function verticalSums({ first, end, weights, stride }: Taps, line: LineReader): Int32Array {
  const { length } = line;
  const count = first.length;
  const sums = new Int32Array(count * length).fill(HALF);
  const last = end[count - 1] as number;
  // Both ends only grow from one output row to the next.
  let open = 0;
  for (let y = first[0] as number; y < last; y++) {
    while ((end[open] as number) <= y) open++;
    // Rows between two of the output need not be read.
    if ((first[open] as number) > y) continue;
    const row = line.read(y);
    for (let out = open; out < count && (first[out] as number) <= y; out++) {
      const weight = weights[out * stride + y - (first[out] as number)] as number;
      const from = out * length;
      for (let j = 0; j < length; j++) {
        sums[from + j] = (sums[from + j] as number) + weight * (row[j] as number);
      }
    }
  }
  return sums;
}
