/** Byte-pair encoding of one word: of all neighboring pieces, those whose merge was learned first become one. */

export type Merge = {
  /** Ids of the two pieces and of what they become. */
  left: number;
  right: number;
  merged: number;
};

/** Merge and place in one number, so that the smallest is the next: 2 ** 24 bytes of a word, 2 ** 29 merges. */
const PLACES = 2 ** 24;
/** Left and right in one number. */
const PAIRS = 2 ** 26;

/** @param merges in the order in which they were learned; of two with the same pieces the later counts */
export function mergePieces(merges: readonly Merge[]): (pieces: readonly number[]) => number[] {
  const rankOf = new Map(merges.map(({ left, right }, rank) => [left * PAIRS + right, rank]));
  const merged = merges.map((merge) => merge.merged);

  return (pieces) => {
    const ids = [...pieces];
    /** Places of the pieces beside each; a piece that was merged into its left neighbor has the id -1. */
    const next = ids.map((_, i) => i + 1);
    const previous = ids.map((_, i) => i - 1);
    const queue = new MinHeap();
    const offer = (place: number) => {
      const [left, right] = [ids[place], ids[next[place] ?? -1]];
      if (left === undefined || right === undefined) return;
      const rank = rankOf.get(left * PAIRS + right);
      if (rank !== undefined) queue.push(rank * PLACES + place);
    };
    for (let place = 0; place < ids.length; place++) offer(place);
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      const place = entry % PLACES;
      const id = merged[(entry - place) / PLACES];
      const right = next[place] ?? ids.length;
      // The pair may be gone since the entry was made.
      const rank = rankOf.get((ids[place] ?? -1) * PAIRS + (ids[right] ?? -1));
      if (id === undefined || rank === undefined || merged[rank] !== id) continue;
      ids[place] = id;
      ids[right] = -1;
      const after = next[right] ?? ids.length;
      next[place] = after;
      if (after < ids.length) previous[after] = place;
      offer(previous[place] ?? -1);
      offer(place);
    }
    return ids.filter((id) => id !== -1);
  };
}

/** Numbers, the smallest first. */
class MinHeap {
  readonly #items: number[] = [];

  push(item: number): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent] ?? 0;
      if (above <= item) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  pop(): number | undefined {
    const items = this.#items;
    const [smallest, item] = [items[0], items.pop()];
    if (item === undefined || items.length === 0) return smallest;
    let at = 0;
    for (let child = 1; child < items.length; child = 2 * at + 1) {
      if ((items[child + 1] ?? Number.POSITIVE_INFINITY) < (items[child] ?? 0)) child++;
      const below = items[child] ?? 0;
      if (item <= below) break;
      items[at] = below;
      at = child;
    }
    items[at] = item;
    return smallest;
  }
}
