/** How long to wait before a part that has failed is started again: nothing at first, then twice as long each time. */

export type Backoff = {
  /** Milliseconds before the second start in a row; the first has no wait. */
  firstMs: number;
  /** The most that is waited. */
  capMs: number;
  /** Milliseconds that a part has to run for its earlier failures to count no more. */
  calmMs: number;
};

export const BACKOFF: Backoff = { firstMs: 500, capMs: 15_000, calmMs: 60_000 };

/**
 * Milliseconds before the next start.
 * @param failures in a row, 1 or more
 * @example [1, 2, 3, 4, 9].map((failures) => delayOf(failures)) // [0, 500, 1000, 2000, 15000]
 */
export function delayOf(failures: number, { firstMs, capMs }: Backoff = BACKOFF): number {
  return failures < 2 ? 0 : Math.min(capMs, firstMs * 2 ** (failures - 2));
}

/** Failures in a row when one more has happened, to something that ran so long. */
export function countFailure(failures: number, ranMs: number, { calmMs }: Backoff): number {
  return ranMs >= calmMs ? 1 : failures + 1;
}
