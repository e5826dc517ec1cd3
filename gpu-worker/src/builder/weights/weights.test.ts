/** Weights are the checkpoint's values, laid out as the kernels of onnxruntime read them. */
import { describe, expect, it } from 'vitest';
import { elementCount, type Weight } from '../../onnx/weight.ts';
import type { Tensor } from '../checkpoint/checkpoint.ts';
import {
  asFloat16,
  asWeight,
  concat,
  padInputHeads,
  rowsFrom,
  stack,
  transformedWeight,
  transpose,
  transposedWeight,
} from './weights.ts';

/** Values 1, 2, 3 …, or those of `values`, in two chunks. */
function tensorOf(shape: number[], values?: number[]): Tensor {
  const all = Float32Array.from(
    values ?? Array.from({ length: elementCount(shape) }, (_, i) => i + 1),
  );
  return {
    name: 'tensor',
    shape,
    bytes: 2 * all.length,
    async *chunks() {
      yield all.slice(0, 1);
      yield all.slice(1);
    },
    read: async () => all.slice(),
  };
}

async function valuesOf({ dims, chunks }: Weight): Promise<number[]> {
  const values: number[] = [];
  for await (const chunk of chunks()) values.push(...chunk);
  expect(values).toHaveLength(elementCount(dims));
  return values;
}

/** Two heads of two values each, padded to three. */
const HEADS = { size: 2, padded: 3 };

describe('a weight', () => {
  it('is a tensor unchanged, under other dims of the same size where they are wanted', async () => {
    const weight = asWeight(tensorOf([2, 3]), [1, 6]);
    expect(weight).toMatchObject({ dims: [1, 6], sourceBytes: 12 });
    expect(await valuesOf(weight)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('is a tensor in 16 bits: rounded to the nearest, subnormal ones included, infinite beyond the largest', async () => {
    const weight = asFloat16(tensorOf([6], [1.5, 2049, 65504, 70000, 6e-8, -0]));
    expect(weight.type).toBe('float16');
    // Of two neighbors the even one; 2^−24 is the least that is not zero.
    expect(await valuesOf(weight)).toEqual([1.5, 2048, 65504, Infinity, 2 ** -24, -0]);
  });

  it('is the rows of a tensor behind the first ones', async () => {
    const weight = rowsFrom(tensorOf([4, 2]), 2);
    expect(weight.dims).toEqual([2, 2]);
    expect(await valuesOf(weight)).toEqual([5, 6, 7, 8]);
  });

  it('is vectors one behind the other, the heads of each padded with zeros', async () => {
    const [a, b] = [tensorOf([4]), tensorOf([2], [8, 9])];
    expect(await valuesOf(concat([a, b]))).toEqual([1, 2, 3, 4, 8, 9]);
    expect(concat([a, b])).toMatchObject({ dims: [6], sourceBytes: 12 });
    expect(await valuesOf(concat([a, b], HEADS))).toEqual([1, 2, 0, 3, 4, 0, 8, 9, 0]);
  });

  it('is what is computed of a tensor, in the dims of the result', async () => {
    const weight = transformedWeight(tensorOf([3]), [2], (values) => values.subarray(1));
    expect(await valuesOf(weight)).toEqual([2, 3]);
  });

  it('can be read more than once', async () => {
    const weight = concat([tensorOf([2]), tensorOf([1])]);
    for (const _ of [1, 2]) expect(await valuesOf(weight)).toEqual([1, 2, 1]);
  });
});

describe('a linear layer', () => {
  it('stacks the outputs of several layers, the heads of each padded with zero rows', async () => {
    const [a, b] = [tensorOf([2, 2]), tensorOf([2, 2], [5, 6, 7, 8])];
    const plain = stack([a, b]);
    expect(plain).toMatchObject({ out: 4, in: 2, sourceBytes: 16 });
    expect([...(await plain.read())]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const padded = stack([a, b], HEADS);
    expect(padded).toMatchObject({ out: 6, in: 2 });
    expect([...(await padded.read())]).toEqual([1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0]);
  });

  it('pads the heads of its input with zero columns, in every row', async () => {
    const linear = padInputHeads(tensorOf([2, 4]), HEADS);
    expect(linear).toMatchObject({ out: 2, in: 6 });
    expect([...(await linear.read())]).toEqual([1, 2, 0, 3, 4, 0, 5, 6, 0, 7, 8, 0]);
  });

  it('is not padded where its heads have the width already', async () => {
    const linear = padInputHeads(tensorOf([1, 4]), { size: 2, padded: 2 });
    expect([...(await linear.read())]).toEqual([1, 2, 3, 4]);
  });

  it('is transposed for MatMul, [out, in] → [in, out]', async () => {
    const weight = transposedWeight(stack([tensorOf([2, 3])]));
    expect(weight.dims).toEqual([3, 2]);
    expect(await valuesOf(weight)).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it('is refused when it is no matrix', () => {
    expect(() => stack([tensorOf([2, 2, 1])])).toThrow('not a matrix: [2,2,1]');
  });
});

it.each([
  [1, 1],
  [3, 70],
  [64, 32],
  [33, 65],
])('a matrix of %i × %i is transposed tile by tile without a gap', (rows, width) => {
  const values = Float32Array.from({ length: rows * width }, (_, i) => i);
  const result = transpose(values, rows, width);
  const expected = Array.from({ length: rows * width }, (_, i) => {
    return (i % rows) * width + Math.floor(i / rows);
  });
  expect([...result]).toEqual(expected);
  expect([...transpose(result, width, rows)]).toEqual([...values]);
});
