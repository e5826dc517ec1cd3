/** Sizes of a checkpoint that has no config, derived from the shapes of its tensors. */
import { CheckpointError } from '../errors.ts';
import type { TensorSource } from './tensor-source.ts';

/** Shapes by name; what is missing is named. */
export class Shapes {
  readonly #tensors: TensorSource;
  readonly #path: string;

  constructor(tensors: TensorSource, path: string) {
    this.#tensors = tensors;
    this.#path = path;
  }

  /** Size of one dimension of a tensor. */
  dim(name: string, axis: number): number {
    const size = this.#tensors.get(name)?.shape[axis];
    if (size === undefined) throw this.fail(`lacks the tensor "${name}"`);
    return size;
  }

  /** How many are numbered from 0 on behind a prefix. */
  count(prefix: string): number {
    const numbers = [...this.#tensors.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => Number.parseInt(name.slice(prefix.length), 10));
    return Math.max(-1, ...numbers) + 1;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** What is known by its width, or said in lavis.json. */
  heads(
    said: number | undefined,
    known: Record<number, number>,
    width: number,
    key: string,
  ): number {
    const heads = said ?? known[width];
    if (heads === undefined) {
      throw this.fail(
        `has a width of ${width} whose attention heads no shape shows: write {"${key}": …} into lavis.json beside it`,
      );
    }
    return heads;
  }

  fail(why: string): CheckpointError {
    return new CheckpointError(`${this.#path} ${why}.`);
  }
}
