/** Sends each request when it is due, whatever has become of the earlier ones: a service that stalls is not spared. */
import { setImmediate, setTimeout } from 'node:timers/promises';
import type { Random } from './random.ts';

/** Time as the loop sees it; tests pass one of their own. */
export type Clock = {
  /** Milliseconds from any beginning, monotonic. */
  now: () => number;
  /** Resolves when the time has come or is over; never in the same turn, so that replies are read meanwhile. */
  until: (ms: number) => Promise<void>;
};

export const systemClock: Clock = {
  now: () => performance.now(),
  until: async (ms) => {
    const wait = ms - performance.now();
    if (wait > 0) await setTimeout(wait);
    else await setImmediate();
  },
};

/** Poisson: independent callers, so that requests also come in clusters; fixed: at equal intervals. */
export type Arrivals = 'poisson' | 'fixed';

/**
 * Milliseconds from the beginning at which requests are due, below `durationMs`.
 * @param rate requests a second
 * @example [...dueTimes('fixed', { rate: 4, durationMs: 1000, random })] // 0, 250, 500, 750
 */
export function* dueTimes(
  arrivals: Arrivals,
  { rate, durationMs, random }: { rate: number; durationMs: number; random: Random },
): Generator<number> {
  const mean = 1000 / rate;
  const gap = () => (arrivals === 'fixed' ? mean : -mean * Math.log(1 - random()));
  for (let due = arrivals === 'fixed' ? 0 : gap(); due < durationMs; due += gap()) yield due;
}

export type OpenLoop = {
  /** Milliseconds from the beginning, ascending. */
  due: Iterable<number>;
  clock?: Clock;
  /**
   * Sends one request and resolves at its end; must not throw.
   * @param dueAt when it was due, by the clock: what its latency is counted from
   */
  send: (dueAt: number) => Promise<void>;
};

/** Resolves when all requests are sent and have ended. */
export async function openLoop({ due, clock = systemClock, send }: OpenLoop): Promise<void> {
  const underWay = new Set<Promise<void>>();
  const start = clock.now();
  for (const afterMs of due) {
    const dueAt = start + afterMs;
    await clock.until(dueAt);
    const sent: Promise<void> = send(dueAt).finally(() => underWay.delete(sent));
    underWay.add(sent);
  }
  await Promise.all(underWay);
}
