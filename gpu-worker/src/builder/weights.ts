/** How tensors of a checkpoint become the weights of a graph: as they are, transposed, joined, padded. */
import type { Tensor } from './checkpoint.ts';

/** A weight of a graph that is made when it is written, float32 [dims]. */
export type Weight = {
  dims: readonly number[];
  /** Bytes of the checkpoint it is made of. */
  sourceBytes: number;
  chunks: () => AsyncIterable<Float32Array>;
};

/** The tensor as it is, possibly under other dims of the same size. Streams. */
export function asIs(tensor: Tensor, dims = tensor.shape): Weight {
  return { dims, sourceBytes: tensor.bytes, chunks: tensor.chunks };
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

/** Linear weights [out, in] as one MatMul operand [in, sum of out]. */
export function transposed(tensors: readonly Tensor[], heads?: HeadPadding): Weight {
  const [, width] = matrix(tensors[0]!.shape);
  const rows = sum(tensors.map(({ shape }) => padHeadRows(shape[0]!, heads)));
  return made([width, rows], tensors, (all) => {
    const stacked = concatenate(all.map((values) => padRows(values, width, heads)));
    return transpose(stacked, rows, width);
  });
}

/** Linear weight [out, heads × size] as MatMul operand [heads × padded, out]: zero rows for the padding. */
export function transposedInputHeads(tensor: Tensor, heads: HeadPadding): Weight {
  const [rows, width] = matrix(tensor.shape);
  return made([padHeadRows(width, heads), rows], [tensor], ([values]) =>
    padRows(transpose(values!, rows, width), rows, heads),
  );
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
function transpose(values: Float32Array, rows: number, width: number): Float32Array {
  const result = new Float32Array(values.length);
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
