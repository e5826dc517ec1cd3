/**
 * Pillow's 8-bit resize, bit for bit: the resampling the published checkpoints were trained with.
 *
 * Two passes, rows first, with fixed-point weights (22 bits) and 8-bit values in between, as in Pillow's
 * `Resample.c`. libvips resizes with other phases and edges: up to 9 of 255 off when shrinking, 86 when growing.
 */
export type ResampleFilter = 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

/** An RGB image, uint8 [height, width, 3]. */
export type RgbImage = { data: Uint8Array; width: number; height: number };

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Half the width of each filter, and its weight at a distance; `bicubic` is Keys' with a = −0.5. */
const FILTERS: Record<ResampleFilter, { support: number; weight: (x: number) => number }> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x))),
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

/** For each output position: the first input position that it reads, how many, and their fixed-point weights. */
type Taps = { first: Int32Array; count: Int32Array; weights: Int32Array; stride: number };

function taps(inputSize: number, outputSize: number, filter: ResampleFilter): Taps {
  const { support: radius, weight } = FILTERS[filter];
  const scale = inputSize / outputSize;
  const stretch = Math.max(scale, 1);
  const support = radius * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outputSize);
  const count = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * stride);
  for (let position = 0; position < outputSize; position++) {
    const center = (position + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support + 0.5));
    const to = Math.min(inputSize, Math.trunc(center + support + 0.5));
    const exact = Array.from({ length: to - from }, (_, i) =>
      weight((i + from - center + 0.5) / stretch),
    );
    const sum = exact.reduce((total, value) => total + value, 0);
    first[position] = from;
    count[position] = to - from;
    for (const [i, value] of exact.entries()) {
      const fixed = (value / sum) * 2 ** PRECISION_BITS;
      weights[position * stride + i] = Math.trunc(fixed + (fixed < 0 ? -0.5 : 0.5));
    }
  }
  return { first, count, weights, stride };
}

/** @returns the image at [height, width], whatever its aspect was */
export function resample(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResampleFilter,
): RgbImage {
  const rows = image.width === width ? image : horizontal(image, width, filter);
  return image.height === height ? rows : vertical(rows, height, filter);
}

function horizontal(
  { data, width, height }: RgbImage,
  outWidth: number,
  filter: ResampleFilter,
): RgbImage {
  const { first, count, weights, stride } = taps(width, outWidth, filter);
  const out = new Uint8ClampedArray(3 * outWidth * height);
  const half = 1 << (PRECISION_BITS - 1);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < outWidth; x++) {
      let [red, green, blue] = [half, half, half];
      let at = 3 * (y * width + (first[x] as number));
      const start = x * stride;
      const end = start + (count[x] as number);
      for (let i = start; i < end; i++, at += 3) {
        const weight = weights[i] as number;
        red += weight * (data[at] as number);
        green += weight * (data[at + 1] as number);
        blue += weight * (data[at + 2] as number);
      }
      const to = 3 * (y * outWidth + x);
      out[to] = red >> PRECISION_BITS;
      out[to + 1] = green >> PRECISION_BITS;
      out[to + 2] = blue >> PRECISION_BITS;
    }
  }
  return { data: new Uint8Array(out.buffer), width: outWidth, height };
}

function vertical(
  { data, width, height }: RgbImage,
  outHeight: number,
  filter: ResampleFilter,
): RgbImage {
  const { first, count, weights, stride } = taps(height, outHeight, filter);
  const line = 3 * width;
  const out = new Uint8ClampedArray(line * outHeight);
  const half = 1 << (PRECISION_BITS - 1);
  const sums = new Int32Array(line);
  for (let y = 0; y < outHeight; y++) {
    sums.fill(half);
    for (let i = 0; i < (count[y] as number); i++) {
      const weight = weights[y * stride + i] as number;
      const from = ((first[y] as number) + i) * line;
      for (let j = 0; j < line; j++) {
        sums[j] = (sums[j] as number) + weight * (data[from + j] as number);
      }
    }
    for (let j = 0; j < line; j++) out[y * line + j] = (sums[j] as number) >> PRECISION_BITS;
  }
  return { data: new Uint8Array(out.buffer), width, height: outHeight };
}
