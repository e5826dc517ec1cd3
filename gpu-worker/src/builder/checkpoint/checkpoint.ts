/** A checkpoint folder: where each tensor lies, which were used, and whether they have the shape expected. */
import { basename, dirname } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { elementCount } from './safetensors.ts';
import { readAll, type TensorSource } from './tensor-source.ts';

/** A tensor of the checkpoint, not read yet. */
export type Tensor = {
  name: string;
  shape: readonly number[];
  /** Bytes in the checkpoint: what progress is measured in. */
  bytes: number;
  chunks: () => AsyncIterable<Float32Array>;
  /** All values; only for tensors that must be rearranged. */
  read: () => Promise<Float32Array>;
};

/**
 * What a checkpoint is called where its model card gives no name: its folder, or the model's for a folder
 * that is named by a commit.
 * @example checkpointName('.models/Salesforce--blip2-opt-2.7b/<commit>') // 'blip2-opt-2.7b'
 */
export function checkpointName(folder: string): string {
  const name = basename(folder);
  if (!/^[0-9a-f]{40}$/.test(name)) return name;
  return basename(dirname(folder)).split('--').at(-1)!;
}

export class Checkpoint {
  readonly folder: string;
  readonly #tensors: TensorSource;
  readonly #taken = new Set<string>();

  constructor(folder: string, tensors: TensorSource) {
    this.folder = folder;
    this.#tensors = tensors;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** @throws CheckpointError naming the tensor when it is missing or of another shape */
  take(name: string, shape: readonly number[]): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      throw new CheckpointError(`The checkpoint lacks the tensor "${name}" [${shape}].`);
    }
    if (tensor.shape.length !== shape.length || tensor.shape.some((dim, i) => dim !== shape[i])) {
      throw new CheckpointError(
        `Tensor "${name}" has the shape [${tensor.shape}], the config asks for [${shape}].`,
      );
    }
    this.#taken.add(name);
    const chunks = () => tensor.read(0, elementCount(shape));
    return { name, shape, bytes: tensor.bytes, chunks, read: () => readAll(tensor) };
  }

  /** @throws CheckpointError naming tensors that nothing has used, apart from those `known` to be idle */
  expectAllTaken(known: readonly RegExp[]): void {
    const unknown = [...this.#tensors.keys()].filter(
      (name) => !this.#taken.has(name) && !known.some((pattern) => pattern.test(name)),
    );
    if (unknown.length > 0) {
      const more = unknown.length > 3 ? ` and ${unknown.length - 3} more` : '';
      throw new CheckpointError(
        `The checkpoint has tensors this model does not know: ${unknown.slice(0, 3).join(', ')}${more}.`,
      );
    }
  }
}
