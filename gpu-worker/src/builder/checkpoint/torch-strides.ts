/** Values of a tensor in row-major order, whatever the order in which its storage holds them. */
import { elementCount } from '../../onnx/weight.ts';
import { readValues, type StoredValues } from './stored-values.ts';
import type { StoredTensor } from './tensor-source.ts';

/** First number in the storage, and steps between neighbors, both in numbers. */
type View = { offset: number; shape: readonly number[]; strides: readonly number[] };

/**
 * Streams what lies in order. A transposed or cut tensor is gathered: the part of its storage that it spans is in
 * memory at once.
 * @param storage where the first number of the storage lies
 */
export function stridedTensor(storage: StoredValues, view: View): StoredTensor['read'] {
  if (isInOrder(view)) {
    return (from, to) => readValues(storage, view.offset + from, view.offset + to);
  }
  return async function* gathered(from, to) {
    const [least, most] = spanOf(view, from, to);
    if (most < least) return;
    const span = new Float32Array(most + 1 - least);
    let filled = 0;
    for await (const chunk of readValues(storage, least, most + 1)) {
      span.set(chunk, filled);
      filled += chunk.length;
    }
    for (let at = from; at < to; at += PIECE_VALUES) {
      const length = Math.min(PIECE_VALUES, to - at);
      yield Float32Array.from({ length }, (_, i) => span[indexOf(view, at + i) - least]!);
    }
  };
}

const PIECE_VALUES = 1 << 20;

function isInOrder({ shape, strides }: View): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return elementCount(shape) === 0;
    step *= shape[i]!;
  }
  return true;
}

/** First and last place in the storage of the values `from` … `to` − 1. */
function spanOf(view: View, from: number, to: number): [least: number, most: number] {
  let [least, most] = [Number.POSITIVE_INFINITY, -1];
  for (let i = from; i < to; i++) {
    const index = indexOf(view, i);
    if (index < least) least = index;
    if (index > most) most = index;
  }
  return [least, most];
}

/** Place in the storage of the value at `position` in row-major order. */
function indexOf({ offset, shape, strides }: View, position: number): number {
  let rest = position;
  let index = offset;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis]!;
    index += (rest % size) * strides[axis]!;
    rest = Math.floor(rest / size);
  }
  return index;
}
