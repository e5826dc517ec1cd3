/** What is kept in how many bits, and why. */
import type { Precision } from '@blip2/shared/bundle-manifest';

/**
 * Part of a model: `image` is computed in bulk, once a picture (image encoder, Q-Former); `text` is read for every
 * token that is written (language model); `head` turns the last state into logits.
 */
export type Part = 'image' | 'text' | 'head';

/** Bits of a value, and values that share a scale. */
export type Quantisation = { bits: 4 | 8; block: number };

/** Below this inner width, blocks are small: the few bytes of scales do not matter there, the error does. */
const NARROW = 1024;
const NARROW_BLOCK = 32;
const WIDE_BLOCK = 128;

/**
 * How the large products of a part are kept; null for float32. Always with one scale per block of a row, so that
 * no result depends on who shares its batch.
 *
 * - `image` never has fewer than 8 bits: its error goes into embeddings that are cached and read by every question,
 *   and its time is that of arithmetic, which fewer bits do not shorten.
 * - `head` has 8 bits: two logits are often close, and a wrong order there is a wrong word.
 * - Embedding and position tables, norms, biases, the patch convolution and the projections between the parts stay in
 *   float32: they are small or only looked up, and everything passes through them.
 */
export function quantisationOf(
  precision: Precision,
  part: Part,
  width: number,
): Quantisation | null {
  if (precision === 'fp32') return null;
  const block = width < NARROW ? NARROW_BLOCK : WIDE_BLOCK;
  return { bits: precision === 'int4' && part === 'text' ? 4 : 8, block };
}

/** Above this, float32 would need several times the memory and bandwidth of the checkpoint itself. */
const LARGE_BYTES = 1e9;

/** `auto`: exact while that is cheap, else 8 bits, whose error is below that of sampling. */
export function choosePrecision(wanted: Precision | 'auto', weightBytes: number): Precision {
  if (wanted !== 'auto') return wanted;
  return weightBytes > LARGE_BYTES ? 'int8' : 'fp32';
}
