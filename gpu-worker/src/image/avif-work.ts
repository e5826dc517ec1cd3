/** What decoding an AVIF takes, whatever size it says that it has: its image may be cut out of a large one, or made of many of them. */
import { framesOfAv1 } from './av1-frames.ts';
import { itemsOf } from './avif-items.ts';
import { placesOf } from './avif-places.ts';
import type { Range } from './containers.ts';

/** Pixels may be more than there can be: an image that is made of itself, or of too many parts to be counted. */
export type AvifWork = {
  /** Of all images that are decoded for the primary one, each as often as it is. */
  pixels: number;
  /** Of the largest of them. */
  largest: number;
  /** Of all items, those of which an image is made as often as they are decoded. */
  codedBytes: number;
};

/** More than any limit. */
const ENDLESS = Number.MAX_SAFE_INTEGER;
/** An overlay of grids of turned images, with the alpha of each, has a few. */
const DEPTH = 16;
/** Turned, mirrored and cut out. Each further one passes over all pixels again. */
const TRANSFORMS = 3;
/** An image that comes into sight step by step begins with a coarse one. */
const LAYERS = 2;

/** Of one item. `frame`: what its frame may have, whatever the size that it says: it is compared when it is decoded. `pixels`: where alpha of the same size counts for nothing; `whole`: with all alpha. */
type Cost = { pixels: number; whole: number; largest: number; bytes: number; frame: number };
const NOTHING: Cost = { pixels: 0, whole: 0, largest: 0, bytes: 0, frame: 0 };
const BEYOND: Cost = { pixels: ENDLESS, whole: ENDLESS, largest: ENDLESS, bytes: 0, frame: 0 };

/**
 * Decoders decode each part of a grid anew, however often it is used and however little of it is seen, with its alpha, which has a size of its own.
 * @example workOfAvif(bytes) // { pixels: 12_582_912, largest: 262_144, codedBytes: 1_240_000 }
 */
export function workOfAvif(bytes: Uint8Array): AvifWork {
  const { places, codedBytes } = placesOf(bytes);
  const tables = itemsOf(bytes);
  if (tables === undefined) return { pixels: ENDLESS, largest: ENDLESS, codedBytes };
  const { primary, items } = tables;
  const frames = framesCounter(bytes);
  const costs = new Map<number, Cost>();

  const costOf = (id: number, depth: number): Cost => {
    const known = costs.get(id);
    if (known !== undefined) return known;
    const item = items.get(id);
    if (item === undefined) return NOTHING;
    if (depth > DEPTH) return BEYOND;
    // Found again before it is known, it is made of itself.
    costs.set(id, BEYOND);
    const { area, frameArea, transforms, isDerived, config, parts, alphas } = item;
    // That of alpha may have no size in the tables, and be of any.
    if (!isDerived && area === 0) return BEYOND;
    const place = places.get(id);
    const extra = Math.max(0, transforms - TRANSFORMS);
    const stream = [...(config ? [config] : []), ...(place?.ranges ?? [])];
    const count = isDerived ? 1 : frames(stream);
    const own = count > 1 ? frameArea * Math.max(1, count - LAYERS + 1) : area;
    let [largest, made, coded] = [count > 1 ? frameArea : area, 0, place?.bytes ?? 0];
    for (const part of parts) {
      const cost = costOf(part, depth + 1);
      made += Math.max(cost.pixels, cost.frame);
      coded += cost.bytes;
      largest = Math.max(largest, cost.largest);
    }
    const color = Math.max(own, made) + area * extra;
    let alpha = 0;
    for (const each of alphas) {
      const cost = costOf(each, depth + 1);
      alpha += cost.whole;
      coded += cost.bytes;
      largest = Math.max(largest, cost.largest);
    }
    // That of the same size is in the limits of images.
    const pixels = Math.max(color, alpha);
    const frame = isDerived ? 0 : frameArea;
    const cost = { pixels, whole: color + alpha, largest, bytes: coded, frame };
    costs.set(id, cost);
    return cost;
  };

  const { pixels, largest, bytes: decoded } = costOf(primary, 0);
  let once = 0;
  for (const id of costs.keys()) once += places.get(id)?.bytes ?? 0;
  return {
    pixels: Math.min(pixels, ENDLESS),
    largest: Math.min(largest, ENDLESS),
    codedBytes: codedBytes + Math.max(0, decoded - once),
  };
}

/**
 * Counts frames, of bytes that several items share once. Those of all others are in the file once, but for
 * what decoders get before them, unless they overlap, as no program writes them.
 */
function framesCounter(bytes: Uint8Array) {
  const counted = new Map<string, number>();
  let left = 2 * bytes.byteLength;
  return (ranges: readonly Range[]): number => {
    const place = ranges.map(({ from, to }) => `${from}-${to}`).join();
    const known = counted.get(place);
    if (known !== undefined) return known;
    for (const { from, to } of ranges) left -= to - from;
    if (left < 0) return ENDLESS;
    const data = Buffer.concat(ranges.map(({ from, to }) => bytes.subarray(from, to)));
    const frames = framesOfAv1(data);
    counted.set(place, frames);
    return frames;
  };
}
