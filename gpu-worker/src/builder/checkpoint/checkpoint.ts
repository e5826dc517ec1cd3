/** A checkpoint folder: which tensors were used, and whether they have the expected shape. */
import { basename, dirname } from 'node:path';
import { elementCount } from '../../onnx/weight.ts';
import { CheckpointError } from '../errors.ts';
import { readAll, type TensorSource } from './tensor-source.ts';

/** A tensor of the checkpoint, not read yet. */
export type Tensor = {
  name: string;
  shape: readonly number[];
  /** Bytes in the checkpoint: what progress is measured in. */
  bytes: number;
  chunks: () => AsyncIterable<Float32Array>;
  /** All values at once; only for tensors that must be rearranged. */
  read: () => Promise<Float32Array>;
};

/**
 * What a checkpoint is called where its model card gives no name: its folder, or the model's for a folder of
 * the hub's cache.
 * @example checkpointName('…/models--Salesforce--blip2-opt-2.7b/snapshots/<commit>') // 'blip2-opt-2.7b'
 */
export function checkpointName(folder: string): string {
  const isCommit = /^[0-9a-f]{40}$/.test(basename(folder));
  if (!isCommit || basename(dirname(folder)) !== 'snapshots') return basename(folder);
  return (
    basename(dirname(dirname(folder)))
      .split('--')
      .at(-1) ?? basename(folder)
  );
}

export class Checkpoint {
  readonly folder: string;
  readonly #tensors: TensorSource;
  readonly #used = new Set<string>();

  constructor(folder: string, tensors: TensorSource) {
    this.folder = folder;
    this.#tensors = tensors;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /**
   * A tensor, which counts as used from now on.
   * @throws CheckpointError naming the tensor when it is missing or of another shape
   */
  tensor(name: string, shape: readonly number[]): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      throw new CheckpointError(`The checkpoint lacks the tensor "${name}" [${shape}].`);
    }
    if (tensor.shape.length !== shape.length || tensor.shape.some((dim, i) => dim !== shape[i])) {
      throw new CheckpointError(
        `Tensor "${name}" has the shape [${tensor.shape}], the config asks for [${shape}].`,
      );
    }
    this.#used.add(name);
    const chunks = () => tensor.read(0, elementCount(shape));
    return { name, shape, bytes: tensor.bytes, chunks, read: () => readAll(tensor) };
  }

  /** @throws CheckpointError naming tensors that nothing has used, apart from those to be `ignored` */
  ensureAllUsed(ignored: readonly RegExp[]): void {
    const unused = [...this.#tensors.keys()].filter(
      (name) => !this.#used.has(name) && !ignored.some((pattern) => pattern.test(name)),
    );
    if (unused.length > 0) {
      const more = unused.length > 3 ? ` and ${unused.length - 3} more` : '';
      throw new CheckpointError(
        `The checkpoint has tensors this model does not know: ${unused.slice(0, 3).join(', ')}${more}.`,
      );
    }
  }
}
