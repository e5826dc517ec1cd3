/** What was used in the last minute, by the second: in no 60 seconds is more used than the limit. */

/** Seconds since the epoch and what was used in them, oldest first. */
export type Window = { second: number; amount: number }[];

/** A second is counted until the last moment of it is a minute ago: up to a second longer than its first. */
const COUNTED_SECONDS = 61;

export const secondOf = (now: number): number => Math.floor(now / 1000);

/**
 * Drops what no longer counts. Where the clock was set back, what was used after now was used now: it counts for a
 * minute from now on, and not until a time that may be far away.
 */
export function forget(window: Window, now: number): void {
  const second = secondOf(now);
  const ahead = window.filter((entry) => entry.second > second);
  if (ahead.length > 0) {
    window.splice(window.length - ahead.length);
    for (const { amount } of ahead) use(window, amount, now);
  }
  const isOld = (entry: Window[number]) => entry.second + COUNTED_SECONDS <= second;
  const first = window.findIndex((entry) => !isOld(entry));
  window.splice(0, first === -1 ? window.length : first);
}

export function used(window: Window): number {
  return window.reduce((sum, { amount }) => sum + amount, 0);
}

export function use(window: Window, amount: number, now: number): void {
  if (amount === 0) return;
  const second = secondOf(now);
  const last = window.at(-1);
  if (last?.second === second) last.amount += amount;
  else window.push({ second, amount });
}

/** Takes back what was used in that second and turned out not to be needed. */
export function refund(window: Window, amount: number, second: number): void {
  const index = window.findIndex((entry) => entry.second === second);
  const entry = window[index];
  if (entry === undefined) return;
  entry.amount -= amount;
  if (entry.amount <= 0) window.splice(index, 1);
}

/** Milliseconds until so much of what is counted now no longer is; 0 where that is nothing, none where it is too much. */
export function waitFor(window: Window, amount: number, now: number): number | null {
  let left = amount;
  if (left <= 0) return 0;
  for (const entry of window) {
    left -= entry.amount;
    if (left <= 0) return (entry.second + COUNTED_SECONDS) * 1000 - now;
  }
  return null;
}
