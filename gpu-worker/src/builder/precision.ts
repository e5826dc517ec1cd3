/** Which weights have how many bits, and why. */
import type { Precision } from '@blip2/shared/precision';
import type { Blocks } from './weights/quantize-blocks.ts';

/**
 * Part of a model: `image` is computed in bulk, once an image (image encoder, Q-Former); `text` is read for every
 * generated token (language model); `head` turns the last state into logits.
 */
export type ModelPart = 'image' | 'text' | 'head';

/**
 * What shares a scale: a block of an output's weights and of an input row; or all of an output's weights and all of an
 * input row, in 8 bits.
 */
export type Quantization = ({ scales: 'blocks' } & Blocks) | { scales: 'rows' };

/** Below this inner width, blocks are small: the few bytes of scales do not matter there, the error does. */
const NARROW = 1024;
const SMALL_BLOCK = 32;
const WIDE_BLOCK = 128;

/**
 * How the large MatMuls of a part are computed; null for float32. Rows never share a scale, so that no result
 * depends on its batch.
 *
 * - `image` never has fewer than 8 bits: its error goes into embeddings that are cached and read by every question,
 *   and its time is that of arithmetic, which fewer bits do not shorten. One scale a row makes its MatMuls plain ones of
 *   integers, 1.7 times as fast as those of blocks at the size of ViT-g.
 * - `text` is read from memory for each token: the smaller, the faster. Blocks hold the error of 4 bits down.
 * - `head` has 8 bits in small blocks: two logits are often close, and a wrong order there is a wrong word. It reads one
 *   state of each sequence, however many they are, and kernels of small blocks do not take rows in pairs
 *   (runtime/tensors.ts).
 * - Word embeddings have 16 bits: they are only looked up, and checkpoints have no more bits.
 * - Position tables, norms, biases, the patch convolution and the projections between the parts stay in float32: they are
 *   small, and everything passes through them.
 */
export function quantizationOf(
  precision: Precision,
  part: ModelPart,
  width: number,
): Quantization | null {
  if (precision === 'fp32') return null;
  if (part === 'image') return { scales: 'rows' };
  const block = width < NARROW || part === 'head' ? SMALL_BLOCK : WIDE_BLOCK;
  return { scales: 'blocks', bits: precision === 'int4' && part === 'text' ? 4 : 8, block };
}

/** Above this, float32 would need several times the memory and bandwidth of the checkpoint itself. */
const LARGE_BYTES = 1e9;

/** `auto`: exact while that is cheap, else 8 bits, whose error is below that of sampling. */
export function choosePrecision(wanted: Precision | 'auto', weightBytes: number): Precision {
  if (wanted !== 'auto') return wanted;
  return weightBytes > LARGE_BYTES ? 'int8' : 'fp32';
}
