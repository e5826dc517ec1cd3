/** How tensors of a checkpoint become the weights of a graph: as they are, transposed, joined, padded. */
import type { Weight } from '../../onnx/weight.ts';
import type { Tensor } from '../checkpoint/checkpoint.ts';

/** The weight of a linear layer as checkpoints keep it, float32 [out, in]. */
export type Linear = {
  out: number;
  in: number;
  sourceBytes: number;
  read: () => Promise<Float32Array>;
};

/** The tensor as it is, possibly under other dims of the same size. Streams. */
export function asIs(tensor: Tensor, dims = tensor.shape): Weight {
  return { dims, sourceBytes: tensor.bytes, chunks: tensor.chunks };
}

/** The tensor in half the bits. Streams. */
export function halved(tensor: Tensor): Weight {
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
  return made([rows - start, width], [tensor], ([values]) => values!.subarray(start * width));
}

/** Vectors joined end to end: [a], [b] → [a + b]. */
export function joined(tensors: readonly Tensor[], heads?: HeadPadding): Weight {
  const parts = tensors.map(({ shape }) => padHeadRows(shape[0]!, heads));
  return made([sum(parts)], tensors, (all) => {
    return concatenate(all.map((values) => padRows(values, 1, heads)));
  });
}

/**
 * Linear layers of the same input as one, [sum of out, in].
 * @param heads of the output, each filled up with zero rows
 */
export function stacked(tensors: readonly Tensor[], heads?: HeadPadding): Linear {
  const [, width] = matrix(tensors[0]!.shape);
  return {
    out: sum(tensors.map(({ shape }) => padHeadRows(shape[0]!, heads))),
    in: width,
    sourceBytes: sum(tensors.map(({ bytes }) => bytes)),
    read: async () => {
      const parts: Float32Array[] = [];
      for (const tensor of tensors) parts.push(padRows(await tensor.read(), width, heads));
      return concatenate(parts);
    },
  };
}

/** A linear layer whose input are heads, [out, heads × padded]: zero columns for the padding. */
export function fromHeads(tensor: Tensor, heads: HeadPadding): Linear {
  const [rows, width] = matrix(tensor.shape);
  return {
    out: rows,
    in: padHeadRows(width, heads),
    sourceBytes: tensor.bytes,
    // A row is its heads one after another, so that all rows together are as well.
    read: async () => padRows(await tensor.read(), 1, heads),
  };
}

/** As a MatMul operand, [in, out]. */
export function operand(linear: Linear): Weight {
  return {
    dims: [linear.in, linear.out],
    sourceBytes: linear.sourceBytes,
    async *chunks() {
      yield transpose(await linear.read(), linear.out, linear.in);
    },
  };
}

/** Heads of `size` values, each filled with zeros up to `padded`. */
export type HeadPadding = { size: number; padded: number };

function padHeadRows(rows: number, heads: HeadPadding | undefined): number {
  return heads === undefined ? rows : (rows / heads.size) * heads.padded;
}

/** [heads × size, width] → [heads × padded, width] */
function padRows(values: Float32Array, width: number, heads: HeadPadding | undefined) {
  if (heads === undefined || heads.size === heads.padded) return values;
  const from = heads.size * width;
  const to = heads.padded * width;
  const padded = new Float32Array((values.length / from) * to);
  for (let head = 0; head * from < values.length; head++) {
    padded.set(values.subarray(head * from, (head + 1) * from), head * to);
  }
  return padded;
}

/** A tensor whose values `make` brings into other dims. */
export function rearranged(
  tensor: Tensor,
  dims: readonly number[],
  make: (values: Float32Array) => Float32Array,
): Weight {
  return made(dims, [tensor], ([values]) => make(values!));
}

function made(
  dims: readonly number[],
  tensors: readonly Tensor[],
  make: (values: Float32Array[]) => Float32Array,
): Weight {
  return {
    dims,
    sourceBytes: sum(tensors.map(({ bytes }) => bytes)),
    async *chunks() {
      const all: Float32Array[] = [];
      for (const tensor of tensors) all.push(await tensor.read());
      yield make(all);
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

function concatenate(parts: readonly Float32Array[]): Float32Array {
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
