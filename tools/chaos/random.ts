/** Numbers that a seed decides, so that a run can be had again. */

export type Random = {
  /** At least 0, below 1. */
  next: () => number;
  below: (limit: number) => number;
  pick: <T>(items: readonly T[]) => T;
};

/** Mulberry32. @param seed a whole number below 2^32 */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return { next, below, pick: <T>(items: readonly T[]) => items[below(items.length)] as T };
}
