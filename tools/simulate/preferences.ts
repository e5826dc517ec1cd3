/** Which nodes each image prefers, by the hashing of the edge itself. */
import { byPreference, type Node } from '../../edge/src/gpu/rendezvous.ts';

/** Orders that are remembered: of the images that are asked about most. */
const REMEMBERED = 50_000;

export class Preferences<T extends Node> {
  readonly #nodes: readonly T[];
  readonly #keyOf: (image: number) => string;
  readonly #orders = new Map<number, T[]>();

  /** @param keyOf what the edge routes an image by: its id */
  constructor(nodes: readonly T[], keyOf: (image: number) => string) {
    this.#nodes = nodes;
    this.#keyOf = keyOf;
  }

  /** All nodes, the preferred one first. */
  of(image: number): readonly T[] {
    const known = this.#orders.get(image);
    if (known !== undefined) return known;
    const order = byPreference(this.#nodes, this.#keyOf(image));
    if (this.#orders.size < REMEMBERED) this.#orders.set(image, order);
    return order;
  }
}
