/**
 * Keys and values of what prompts begin with: a picture's image positions, and behind them the texts that were asked
 * about it. The next question reads only what nobody has asked yet.
 */

import type { PrefixMemory } from './observation.ts';

/** A picture or, behind it, a stretch of text. */
type Node = {
  /** Of a picture, its name. */
  key?: string;
  /** Text ids of the stretch; none of a picture. */
  ids: readonly number[];
  /** Keys and values of its positions, float32 [layers, 2, heads, positions, headDim]. */
  values: Float32Array;
  parent?: Node;
  children: Set<Node>;
};

/** A stretch of a prompt that is kept; of the last one perhaps only its first `length` text positions are of use. */
export type Stretch = { values: Float32Array; positions: number; length: number };

export class PrefixCache {
  readonly #budgetBytes: number;
  readonly #pictures = new Map<string, Node>();
  /** Least recently used first; what stands behind another is never more recent than it. */
  readonly #order = new Set<Node>();
  #bytes = 0;
  readonly #lookups = { hits: 0, misses: 0, textPositions: 0 };

  /** @param budgetBytes 0 keeps nothing */
  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  get memory(): PrefixMemory {
    return { ...this.#lookups, bytes: this.#bytes };
  }

  /** A picture's image positions. */
  picture(key: string): Float32Array | undefined {
    const node = this.#pictures.get(key);
    this.#lookups[node === undefined ? 'misses' : 'hits'] += 1;
    if (node !== undefined) this.#touch(node);
    return node?.values;
  }

  /** How a text about a picture begins, as far as that is kept: stretch after stretch. */
  text(key: string, ids: readonly number[]): Stretch[] {
    const { stretches, last } = this.#walk(key, ids);
    if (last !== undefined) this.#touch(last);
    this.#lookups.textPositions += sum(stretches);
    return stretches;
  }

  /** How many positions of a prompt are kept: changes nothing, and counts as no look-up. */
  peek(key: string, ids: readonly number[]): { picture: boolean; textPositions: number } {
    const { stretches } = this.#walk(key, ids);
    return { picture: this.#pictures.has(key), textPositions: sum(stretches) };
  }

  keepPicture(key: string, values: Float32Array): void {
    if (this.#pictures.has(key) || !this.#makeRoom(values.byteLength)) return;
    const node: Node = { key, ids: [], values, children: new Set() };
    this.#pictures.set(key, node);
    this.#add(node);
  }

  /**
   * Keeps a text about a kept picture, as far as it is not there.
   * @param read keys and values of the text positions from `start` on
   */
  keepText(key: string, ids: readonly number[], read: (start: number) => Float32Array): void {
    const { whole: parent, start } = this.#walk(key, ids);
    if (parent === undefined || start === ids.length) return;
    const values = read(start);
    // What it stands behind must outlive the search for room.
    this.#touch(parent);
    if (!this.#makeRoom(values.byteLength, parent)) return;
    const node: Node = { ids: ids.slice(start), values, parent, children: new Set() };
    parent.children.add(node);
    this.#add(node);
  }

  /** `whole`: the last node all of whose ids the text has, up to `start`; `last`: the last that is of any use. */
  #walk(key: string, ids: readonly number[]) {
    let whole = this.#pictures.get(key);
    let last = whole;
    let start = 0;
    const stretches: Stretch[] = [];
    while (whole !== undefined && start < ids.length) {
      const next = longest(whole, ids, start);
      if (next === undefined) break;
      const { node, length } = next;
      stretches.push({ values: node.values, positions: node.ids.length, length });
      last = node;
      if (length < node.ids.length) break;
      whole = node;
      start += length;
    }
    return { stretches, whole, last, start };
  }

  #add(node: Node): void {
    this.#bytes += node.values.byteLength;
    this.#touch(node);
  }

  /** What stands in front comes last, so that it is the more recent. */
  #touch(node: Node): void {
    for (let at: Node | undefined = node; at !== undefined; at = at.parent) {
      this.#order.delete(at);
      this.#order.add(at);
    }
  }

  /** Forgets what was not used for longest. @returns whether there is room now */
  #makeRoom(bytes: number, needed?: Node): boolean {
    const held = needed === undefined ? 0 : chainBytes(needed);
    if (held + bytes > this.#budgetBytes) return false;
    for (const oldest of this.#order) {
      if (this.#bytes + bytes <= this.#budgetBytes) break;
      this.#order.delete(oldest);
      this.#bytes -= oldest.values.byteLength;
      oldest.parent?.children.delete(oldest);
      if (oldest.key !== undefined) this.#pictures.delete(oldest.key);
    }
    return true;
  }
}

function longest(node: Node, ids: readonly number[], start: number) {
  let best: { node: Node; length: number } | undefined;
  for (const child of node.children) {
    let length = 0;
    while (length < child.ids.length && child.ids[length] === ids[start + length]) length++;
    if (length > (best?.length ?? 0)) best = { node: child, length };
  }
  return best;
}

function chainBytes(node: Node): number {
  return node.values.byteLength + (node.parent === undefined ? 0 : chainBytes(node.parent));
}

const sum = (stretches: readonly Stretch[]) =>
  stretches.reduce((all, { length }) => all + length, 0);
