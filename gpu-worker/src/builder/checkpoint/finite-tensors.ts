/** Refuses weights that are no numbers: a model with one of them says nothing about anything. */
import { CheckpointError } from '../errors.ts';
import type { StoredTensor, TensorSource } from './tensor-source.ts';

/** The same tensors, whose reading fails with a `CheckpointError` where a value is infinite or not a number. */
export function finiteTensors(tensors: TensorSource): TensorSource {
  return new Map(tensors.entries().map(([name, tensor]) => [name, finite(name, tensor)]));
}

function finite(name: string, tensor: StoredTensor): StoredTensor {
  return {
    ...tensor,
    async *read(from, to) {
      for await (const values of tensor.read(from, to)) {
        expectFinite(name, values);
        yield values;
      }
    },
  };
}

function expectFinite(name: string, values: Float32Array): void {
  // 0 × a number is 0, and NaN for all else: a sum is as fast as reading.
  let sum = 0;
  for (const value of values) sum += value * 0;
  if (sum === 0) return;
  const found = values.find((value) => !Number.isFinite(value));
  throw new CheckpointError(
    `The tensor ${name} holds ${found}, which no trained model does: the checkpoint is damaged. Download or save it again.`,
  );
}
