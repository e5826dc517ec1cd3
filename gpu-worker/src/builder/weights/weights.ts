/** How tensors of a checkpoint become the weights of a graph: unchanged, transposed, concatenated, padded. */
import type { Weight } from '../../onnx/weight.ts';
import type { Tensor } from '../checkpoint/checkpoint.ts';

/** The weight of a linear layer as checkpoints store it, float32 [out, in]. */
export type Linear = {
  out: number;
  in: number;
  sourceBytes: number;
  read: () => Promise<Float32Array>;
};

/** The tensor unchanged, possibly under other dims of the same size. Streams. */
export function asWeight(tensor: Tensor, dims = tensor.shape): Weight {
  return { dims, sourceBytes: tensor.bytes, chunks: tensor.chunks };
}

/** The tensor in 16 bits. Streams. */
export function asFloat16(tensor: Tensor): Weight {
  return {
    type: 'float16',
    dims: tensor.shape,
    sourceBytes: tensor.bytes,
    async *chunks() {
      for await (const chunk of tensor.chunks()) yield new Float16Array(chunk);
    },
  };
}

/** Rows from `start` on of a [rows, width] tensor. */
export function rowsFrom(tensor: Tensor, start: number): Weight {
  const [rows, width] = matrix(tensor.shape);
  return computed([rows - start, width], [tensor], ([values]) => values!.subarray(start * width));
}

/**
 * Vectors one behind the other: [a], [b] → [a + b].
 * @param heads of each vector, if they are to be padded
 */
export function concat(tensors: readonly Tensor[], heads?: HeadPadding): Weight {
  const lengths = tensors.map(({ shape }) => paddedRows(shape[0]!, heads));
  return computed([sum(lengths)], tensors, (vectors) => {
    return concatValues(vectors.map((values) => padHeads(values, 1, heads)));
  });
}

/**
 * Linear layers of the same input as one, [sum of out, in].
 * @param heads of each output, if they are to be padded with zero rows
 */
export function stack(tensors: readonly Tensor[], heads?: HeadPadding): Linear {
  const [, width] = matrix(tensors[0]!.shape);
  return {
    out: sum(tensors.map(({ shape }) => paddedRows(shape[0]!, heads))),
    in: width,
    sourceBytes: sum(tensors.map(({ bytes }) => bytes)),
    read: async () => {
      const parts: Float32Array[] = [];
      for (const tensor of tensors) parts.push(padHeads(await tensor.read(), width, heads));
      return concatValues(parts);
    },
  };
}

/** A linear layer whose input is heads, [out, heads × padded]: zero columns for the padding. */
export function padInputHeads(tensor: Tensor, heads: HeadPadding): Linear {
  const [rows, width] = matrix(tensor.shape);
  return {
    out: rows,
    in: paddedRows(width, heads),
    sourceBytes: tensor.bytes,
    // A row is its heads one behind the other, and so are all rows together.
    read: async () => padHeads(await tensor.read(), 1, heads),
  };
}

/** A linear layer's weight as MatMul reads it, [in, out]. */
export function transposedWeight(linear: Linear): Weight {
  return {
    dims: [linear.in, linear.out],
    sourceBytes: linear.sourceBytes,
    async *chunks() {
      yield transpose(await linear.read(), linear.out, linear.in);
    },
  };
}

/** Heads of `size` values, each padded with zeros to `padded`. */
export type HeadPadding = { size: number; padded: number };

function paddedRows(rows: number, heads: HeadPadding | undefined): number {
  return heads === undefined ? rows : (rows / heads.size) * heads.padded;
}

/** [heads × size, width] → [heads × padded, width] */
function padHeads(values: Float32Array, width: number, heads: HeadPadding | undefined) {
  if (heads === undefined || heads.size === heads.padded) return values;
  const from = heads.size * width;
  const to = heads.padded * width;
  const padded = new Float32Array((values.length / from) * to);
  for (let head = 0; head * from < values.length; head++) {
    padded.set(values.subarray(head * from, (head + 1) * from), head * to);
  }
  return padded;
}

/** What `transform` makes of a tensor's values, [dims]. */
export function transformedWeight(
  tensor: Tensor,
  dims: readonly number[],
  transform: (values: Float32Array) => Float32Array,
): Weight {
  return computed(dims, [tensor], ([values]) => transform(values!));
}

function computed(
  dims: readonly number[],
  tensors: readonly Tensor[],
  compute: (values: Float32Array[]) => Float32Array,
): Weight {
  return {
    dims,
    sourceBytes: sum(tensors.map(({ bytes }) => bytes)),
    async *chunks() {
      const values: Float32Array[] = [];
      for (const tensor of tensors) values.push(await tensor.read());
      yield compute(values);
    },
  };
}

const TILE = 32;

/** [rows, width] → [width, rows], a tile at a time: both sides stay in the cache. */
export function transpose<T extends Float32Array | Int8Array>(
  values: T,
  rows: number,
  width: number,
): T {
  const result = values.slice() as T;
  for (let r0 = 0; r0 < rows; r0 += TILE) {
    const r1 = Math.min(r0 + TILE, rows);
    for (let c0 = 0; c0 < width; c0 += TILE) {
      const c1 = Math.min(c0 + TILE, width);
      for (let c = c0; c < c1; c++) {
        for (let r = r0; r < r1; r++) result[c * rows + r] = values[r * width + c]!;
      }
    }
  }
  return result;
}

function concatValues(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const result = new Float32Array(sum(parts.map(({ length }) => length)));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

function matrix(shape: readonly number[]): [rows: number, width: number] {
  const [rows, width] = shape;
  if (shape.length !== 2) throw new Error(`not a matrix: [${shape}]`);
  return [rows!, width!];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
