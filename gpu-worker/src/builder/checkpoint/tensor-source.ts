/** Tensors by name, whatever file they come from: what the readers offer, what adapters and other names are laid over. */

import { elementCount } from '../../onnx/weight.ts';
import { CheckpointError } from '../errors.ts';

/** A tensor that was not read yet. */
export type StoredTensor = {
  shape: readonly number[];
  /** As safetensors names types: F32, F16, BF16, … */
  dtype: string;
  /** Bytes it takes in its file. */
  bytes: number;
  /**
   * Values `from` … `to` − 1 in row-major order as float32, in pieces of a few MB.
   * @throws CheckpointError when they are no floating-point numbers, or cannot be read
   */
  read: (from: number, to: number) => AsyncIterable<Float32Array>;
  /** Where its bytes lie. Two tensors of the same origin, type and shape are one and the same. */
  origin?: string;
};

export type TensorSource = ReadonlyMap<string, StoredTensor>;

/** Real checkpoints have some thousand tensors, of at most five dimensions, with names of a hundred characters. */
export const MAX_TENSORS = 50_000;
const MAX_DIMENSIONS = 64;
const MAX_NAME_LENGTH = 1000;

/** @throws the error of `fail` where a file has more tensors than any checkpoint */
export function expectTensorCount(count: number, fail: (why: string) => Error): void {
  if (count <= MAX_TENSORS) return;
  throw fail(`it has ${count} tensors, and at most ${MAX_TENSORS} are supported: it is damaged`);
}

/** @throws the error of `fail` where a name or a shape is longer than any of a checkpoint */
export function expectTensorInBounds(
  name: string,
  shape: readonly number[],
  fail: (why: string) => Error,
): void {
  if (name.length > MAX_NAME_LENGTH) {
    const why = `has a name of ${name.length} characters, and at most ${MAX_NAME_LENGTH} are supported`;
    throw fail(`tensor "${name.slice(0, 100)}…" ${why}: it is damaged`);
  }
  if (shape.length <= MAX_DIMENSIONS) return;
  const why = `has ${shape.length} dimensions, and at most ${MAX_DIMENSIONS} are supported`;
  throw fail(`tensor "${name}" ${why}: it is damaged`);
}

/** All values of a tensor, or some of them. */
export async function readAll(
  { shape, read }: StoredTensor,
  from = 0,
  to = elementCount(shape),
): Promise<Float32Array> {
  const values = new Float32Array(to - from);
  let at = 0;
  for await (const chunk of read(from, to)) {
    values.set(chunk, at);
    at += chunk.length;
  }
  return values;
}

/**
 * Whole rows of a matrix at a time, so that what is computed of them stays small.
 * @returns pieces [rows, width] and the first row of each; the first dimension of the shape counts the rows
 */
export async function* readRows(
  tensor: StoredTensor,
  from: number,
  to: number,
): AsyncGenerator<{ first: number; values: Float32Array }> {
  const rows = tensor.shape[0] ?? 1;
  const width = elementCount(tensor.shape) / rows;
  const step = Math.max(1, Math.floor(PIECE_VALUES / width));
  for (let first = from; first < to; first += step) {
    const last = Math.min(first + step, to);
    yield { first, values: await readAll(tensor, first * width, last * width) };
  }
}

const PIECE_VALUES = 1 << 20;

/** The same values under another shape of the same size. */
export function reshaped(tensor: StoredTensor, shape: readonly number[]): StoredTensor {
  if (elementCount(shape) !== elementCount(tensor.shape)) {
    throw new Error(`[${tensor.shape}] is not [${shape}]`);
  }
  return { ...tensor, shape };
}

/** Zeros that are in no file. */
export function zeros(shape: readonly number[]): StoredTensor {
  return {
    shape,
    dtype: 'F32',
    bytes: 0,
    async *read(from, to) {
      for (let at = from; at < to; at += PIECE_VALUES) {
        yield new Float32Array(Math.min(PIECE_VALUES, to - at));
      }
    },
  };
}

/** Vectors joined end to end. */
export function joined(parts: readonly StoredTensor[]): StoredTensor {
  const lengths = parts.map(({ shape }) => elementCount(shape));
  return {
    shape: [lengths.reduce((sum, length) => sum + length, 0)],
    dtype: parts[0]?.dtype ?? 'F32',
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    async *read(from, to) {
      let start = 0;
      for (const [i, part] of parts.entries()) {
        const [first, last] = [Math.max(from - start, 0), Math.min(to - start, lengths[i]!)];
        if (first < last) yield* part.read(first, last);
        start += lengths[i]!;
      }
    },
  };
}

/**
 * Several sources as one.
 * @throws CheckpointError naming a tensor that two of them hold
 */
export function united(sources: readonly TensorSource[]): TensorSource {
  const all = new Map<string, StoredTensor>();
  for (const source of sources) {
    for (const [name, tensor] of source) {
      if (all.has(name)) throw new CheckpointError(`Tensor "${name}" is in two shards.`);
      all.set(name, tensor);
    }
    expectTensorCount(all.size, (why) => new CheckpointError(`Of all shards together: ${why}.`));
  }
  return all;
}

/** Tensors under other names; those for which there is none are left out. */
export function renamed(
  source: TensorSource,
  nameOf: (name: string) => string | null,
): Map<string, StoredTensor> {
  const result = new Map<string, StoredTensor>();
  for (const [name, tensor] of source) {
    const other = nameOf(name);
    if (other !== null) result.set(other, tensor);
  }
  return result;
}
