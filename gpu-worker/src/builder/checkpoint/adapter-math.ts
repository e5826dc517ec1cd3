/** What adapters do to a weight, some rows at a time: W + scale · B·A and its relatives. */
import { readAll, readRows, type StoredTensor } from './tensor-source.ts';

/** A small factor, read when it is needed; `isTransposed`: it is stored [columns, rows]. */
export type Matrix = {
  shape: readonly [rows: number, columns: number];
  read: () => Promise<Float32Array>;
  isTransposed?: boolean;
};

/** Adds a change to row `row` of a weight. */
type AddRow = (row: number, sum: Float64Array) => void;

/** Factors are read once, before the first row. */
export type Delta = () => Promise<AddRow>;

/** scale · left·right */
export function lowRankDelta(left: Matrix, right: Matrix, scale: number): Delta {
  return async () => {
    const [l, r] = [await inRows(left), await inRows(right)];
    return (row, sum) => addProduct(sum, l, r, row, scale);
  };
}

/** scale · (left₁·right₁) ∘ (left₂·right₂) ∘ …, factor by factor. */
export function hadamardDelta(
  factors: readonly { left: Matrix; right: Matrix }[],
  scale: number,
): Delta {
  return async () => {
    const read = await Promise.all(
      factors.map(async ({ left, right }) => ({
        left: await inRows(left),
        right: await inRows(right),
      })),
    );
    return (row, sum) => {
      const product = new Float64Array(sum.length).fill(scale);
      for (const { left, right } of read) {
        const factor = new Float64Array(sum.length);
        addProduct(factor, left, right, row, 1);
        for (let i = 0; i < product.length; i++) product[i]! *= factor[i]!;
      }
      for (let i = 0; i < sum.length; i++) sum[i]! += product[i]!;
    };
  };
}

/**
 * The weight with a change added to each row, streamed.
 * @param magnitude of DoRA: the length that each row is brought to, [rows]
 */
export function mergedRows(
  original: StoredTensor,
  delta: Delta,
  magnitude: StoredTensor | null,
): StoredTensor {
  return byRows(original, async () => {
    const add = await delta();
    const lengths = magnitude === null ? null : await readAll(magnitude);
    return (row, sum) => {
      add(row, sum);
      if (lengths === null) return;
      const factor = lengths[row]! / lengthOf(sum);
      for (let i = 0; i < sum.length; i++) sum[i]! *= factor;
    };
  });
}

/** The weight times a vector along its rows or columns, streamed. */
export function scaledRows(
  original: StoredTensor,
  vector: StoredTensor,
  along: 'rows' | 'columns',
): StoredTensor {
  return byRows(original, async () => {
    const factors = await readAll(vector);
    return (row, values) => {
      for (let i = 0; i < values.length; i++) values[i]! *= factors[along === 'rows' ? row : i]!;
    };
  });
}

/** Every row changed in 64 bits, then rounded once. */
function byRows(original: StoredTensor, prepare: () => Promise<AddRow>): StoredTensor {
  const [rows = 1, ...inner] = original.shape;
  const width = inner.reduce((product, dim) => product * dim, 1);
  return {
    shape: original.shape,
    dtype: 'F32',
    bytes: original.bytes,
    async *read(from, to) {
      const change = await prepare();
      const [firstRow, endRow] = [Math.floor(from / width), Math.min(rows, Math.ceil(to / width))];
      const row = new Float64Array(width);
      for await (const { first, values } of readRows(original, firstRow, endRow)) {
        for (let at = 0; at < values.length; at += width) {
          row.set(values.subarray(at, at + width));
          change(first + at / width, row);
          values.set(row, at);
        }
        const start = first * width;
        yield values.subarray(Math.max(from - start, 0), Math.min(to - start, values.length));
      }
    },
  };
}

type Rows = { values: Float32Array; columns: number };

async function inRows({ shape: [rows, columns], read, isTransposed }: Matrix): Promise<Rows> {
  const stored = await read();
  if (!isTransposed) return { values: stored, columns };
  const values = new Float32Array(stored.length);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < columns; i++) values[row * columns + i] = stored[i * rows + row]!;
  }
  return { values, columns };
}

/** sum += scale · left[row] · right */
function addProduct(sum: Float64Array, left: Rows, right: Rows, row: number, scale: number): void {
  const width = right.columns;
  for (let k = 0; k < left.columns; k++) {
    const factor = scale * left.values[row * left.columns + k]!;
    if (factor === 0) continue;
    const start = k * width;
    for (let i = 0; i < width; i++) sum[i]! += factor * right.values[start + i]!;
  }
}

function lengthOf(values: Float64Array): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}
