/**
 * Keys and values of the beginnings of prompts: an image's positions, and behind them texts about it. The next question
 * about the image computes only the text that is new.
 */
import type { PrefixCacheStats } from '../stats.ts';

/** Values on a device are freed by their owner. */
type Cacheable = { byteLength: number; [Symbol.dispose]?: () => void };

/** An image or, behind it, a segment of text. */
type Node<Values> = {
  /** Names its image. */
  key: string;
  /** Text ids of the segment; none of an image. */
  ids: readonly number[];
  /** Keys and values of its positions. */
  values: Values;
  parent?: Node<Values>;
  /** How many of its parent's ids come before it. */
  at: number;
  /** By the position at which they leave it, and their first id: a text goes on with one of them at most. */
  children: Map<number, Node<Values>>;
};

/** Cached values of a segment of a prompt, of whose positions the first `length` are the prompt's. */
export type Segment<Values> = { values: Values; length: number };

/** Nodes from the image on; `positions` of text are in all of them together. */
type Path<Values> = { nodes: { node: Node<Values>; length: number }[]; positions: number };

/** Text of so many ids, or more, is a segment of its own: shorter ones are joined. */
const SEGMENT_IDS = 32;

/** Whether somebody waits for what is looked up or cached. */
export type Priority = 'interactive' | 'background';

/**
 * A tree for each image; beyond the budget, the least recently used is evicted. What background work has cached goes first, and makes room
 * for nothing that somebody has waited for: a job of many images would else leave nothing of those that people ask about.
 */
export class PrefixCache<Values extends Cacheable> {
  readonly #budgetBytes: number;
  readonly #images = new Map<string, Node<Values>>();
  /**
   * Of each priority least recently used first; a node is never more recent than its parent. A parent is in the order of the background only
   * if all of its children are.
   */
  readonly #orders: Record<Priority, Set<Node<Values>>> = {
    interactive: new Set(),
    background: new Set(),
  };
  readonly #lookups = { hits: 0, misses: 0, textPositions: 0 };
  #bytes = 0;
  #changed = new Set<string>();

  /** @param budgetBytes 0 caches nothing */
  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  /** Look-ups since the start, and the bytes that are cached now. */
  get stats(): PrefixCacheStats {
    return { ...this.#lookups, bytes: this.#bytes };
  }

  /** An image's image positions. */
  image(key: string, priority: Priority = 'interactive'): Values | undefined {
    const node = this.#images.get(key);
    this.#lookups[node === undefined ? 'misses' : 'hits'] += 1;
    if (node !== undefined) this.#touch(node, priority);
    return node?.values;
  }

  /** How a text about an image begins, as far as that is cached: segment after segment. */
  text(key: string, ids: readonly number[], priority: Priority = 'interactive'): Segment<Values>[] {
    const { nodes, positions } = this.#walk(key, ids);
    const last = nodes.at(-1);
    if (last !== undefined) this.#touch(last.node, priority);
    this.#lookups.textPositions += positions;
    return nodes.slice(1).map(({ node, length }) => ({ values: node.values, length }));
  }

  /** How many positions of a prompt are cached: changes nothing, and counts as no look-up. */
  peek(key: string, ids: readonly number[]): { image: boolean; textPositions: number } {
    return { image: this.#images.has(key), textPositions: this.#walk(key, ids).positions };
  }

  /** Whether values of this size may be cached at all. */
  fits(bytes: number): boolean {
    return bytes <= this.#budgetBytes;
  }

  /** Owns the values from now on. */
  putImage(key: string, values: Values, priority: Priority = 'interactive'): void {
    if (this.#images.has(key) || !this.#makeRoom(values.byteLength, priority)) {
      values[Symbol.dispose]?.();
      return;
    }
    const node: Node<Values> = { key, ids: [], values, at: 0, children: new Map() };
    this.#images.set(key, node);
    this.#add(node, priority);
  }

  /** The index of the first id that `putText` would cache; null where it cannot or need not. */
  uncachedText(key: string, ids: readonly number[]): number | null {
    const { nodes, positions } = this.#walk(key, ids);
    return nodes.length === 0 || positions === ids.length ? null : positions;
  }

  /**
   * The segment that a text would rather continue than have another behind it, both being short: what is restored would else be as
   * many pieces as a text had lengths.
   */
  shortEnd(
    key: string,
    ids: readonly number[],
    priority: Priority = 'interactive',
  ): Segment<Values> | null {
    const { nodes, positions } = this.#walk(key, ids);
    const { node, length } = nodes.at(-1) ?? {};
    if (node?.parent === undefined || length !== node.ids.length) return null;
    if (Math.max(length, ids.length - positions) >= SEGMENT_IDS) return null;
    // Background work adds nothing to what others have used.
    if (priority === 'background' && this.#orders.interactive.has(node)) return null;
    return { values: node.values, length };
  }

  /** Owns the values from now on: those of `shortEnd`, and of the ids from `uncachedText` on behind them. */
  extendText(
    key: string,
    ids: readonly number[],
    values: Values,
    priority: Priority = 'interactive',
  ): void {
    const { nodes, positions } = this.#walk(key, ids);
    const { node } = nodes.at(-1) as Path<Values>['nodes'][number];
    this.#touch(node, priority);
    const more = values.byteLength - node.values.byteLength;
    if (!this.#makeRoom(more, priority, node)) {
      values[Symbol.dispose]?.();
      return;
    }
    node.values[Symbol.dispose]?.();
    node.values = values;
    node.ids = [...node.ids, ...ids.slice(positions)];
    this.#bytes += more;
    this.#changed.add(key);
  }

  /** Owns the values from now on: those of the ids from `uncachedText` on. */
  putText(
    key: string,
    ids: readonly number[],
    values: Values,
    priority: Priority = 'interactive',
  ): void {
    const { nodes, positions } = this.#walk(key, ids);
    const last = nodes.at(-1);
    // Its parents must not be evicted to make room for it.
    if (last !== undefined) this.#touch(last.node, priority);
    if (last === undefined || !this.#makeRoom(values.byteLength, priority, last.node)) {
      values[Symbol.dispose]?.();
      return;
    }
    const { node: parent, length: at } = last;
    const own = ids.slice(positions);
    const node: Node<Values> = { key, ids: own, values, parent, at, children: new Map() };
    parent.children.set(branchOf(at, own[0] as number), node);
    this.#add(node, priority);
  }

  /** Images of which more or less is cached than at the last call. */
  drainChanges(): ReadonlySet<string> {
    const changed = this.#changed;
    if (changed.size > 0) this.#changed = new Set();
    return changed;
  }

  clear(): void {
    for (const order of Object.values(this.#orders)) for (const node of order) this.#evict(node);
  }

  /** Evicts the images whose keys begin so, and the texts about them. */
  drop(keyPrefix: string): void {
    for (const [key, node] of this.#images) if (key.startsWith(keyPrefix)) this.#evictTree(node);
  }

  /** The image, and behind it the segments that have most of the text; empty without the image. */
  #walk(key: string, ids: readonly number[]): Path<Values> {
    const image = this.#images.get(key);
    return image === undefined ? { nodes: [], positions: 0 } : longestPath(image, ids);
  }

  #add(node: Node<Values>, priority: Priority): void {
    this.#bytes += node.values.byteLength;
    this.#changed.add(node.key);
    this.#orders[priority].add(node);
    this.#touch(node, priority);
  }

  /** Parents come last, so that they are more recent than their children. Background work leaves what others have used where it is. */
  #touch(node: Node<Values>, priority: Priority): void {
    const { interactive, background } = this.#orders;
    for (let at: Node<Values> | undefined = node; at !== undefined; at = at.parent) {
      if (priority === 'background' && interactive.has(at)) return;
      background.delete(at);
      interactive.delete(at);
      this.#orders[priority].add(at);
    }
  }

  /** Evicts the least recently used, of the background first. @returns whether there is room now */
  #makeRoom(bytes: number, priority: Priority, needed?: Node<Values>): boolean {
    const held = needed === undefined ? 0 : chainBytes(needed);
    if (held + bytes > this.#budgetBytes) return false;
    const { interactive, background } = this.#orders;
    const hasRoom = () => this.#bytes + bytes <= this.#budgetBytes;
    for (const order of priority === 'background' ? [background] : [background, interactive]) {
      for (const oldest of order) {
        if (hasRoom()) return true;
        // It and its parents, which come behind it, are the most recent.
        if (oldest === needed) break;
        this.#evict(oldest);
      }
    }
    return hasRoom();
  }

  #evictTree(node: Node<Values>): void {
    for (const child of node.children.values()) this.#evictTree(child);
    this.#evict(node);
  }

  #evict(node: Node<Values>): void {
    for (const order of Object.values(this.#orders)) order.delete(node);
    this.#bytes -= node.values.byteLength;
    this.#changed.add(node.key);
    node.parent?.children.delete(branchOf(node.at, node.ids[0] as number));
    if (node.parent === undefined) this.#images.delete(node.key);
    node.values[Symbol.dispose]?.();
  }
}

function longestPath<Values>(image: Node<Values>, ids: readonly number[]): Path<Values> {
  const nodes: Path<Values>['nodes'] = [];
  let positions = 0;
  let next: Node<Values> | undefined = image;
  while (next !== undefined) {
    const node: Node<Values> = next;
    let length = 0;
    while (length < node.ids.length && node.ids[length] === ids[positions + length]) length++;
    nodes.push({ node, length });
    positions += length;
    const id = ids[positions];
    next = id === undefined ? undefined : node.children.get(branchOf(length, id));
  }
  return { nodes, positions };
}

/** @param at less than 2 ** 21 */
const branchOf = (at: number, id: number) => at * 2 ** 32 + id;

function chainBytes(node: Node<Cacheable>): number {
  let bytes = 0;
  for (let at: Node<Cacheable> | undefined = node; at !== undefined; at = at.parent) {
    bytes += at.values.byteLength;
  }
  return bytes;
}
