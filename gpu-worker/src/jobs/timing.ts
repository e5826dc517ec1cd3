/** How long the consumer of jobs waits for what. */
import { FINISH_MS } from '../job-options.ts';

export const TIMING = {
  /** A result waits so long for others of its part. */
  commitMs: 250,
  /** Before the second try of a call that failed; each further one waits twice as long, up to `maxRetryMs`. */
  retryMs: 500,
  maxRetryMs: 30_000,
  /** How long what runs may take when the worker is stopped. */
  graceMs: FINISH_MS,
  /** Between two looks for a place that requests have taken. */
  placeMs: 250,
  /** How long items that are to run alone wait for all others to end, before they go back. */
  suspectMs: 30_000,
  /** Before an item whose failure may pass comes back; each further time twice as long, up to a quarter of an hour. */
  againS: 15,
};
export type Timing = typeof TIMING;

/** Milliseconds before the try number `failures` + 1, a little different for everybody. */
export function backoffMs({ retryMs, maxRetryMs }: Timing, failures: number): number {
  const ms = Math.min(maxRetryMs, retryMs * 2 ** Math.min(failures - 1, 20));
  return ms * (0.75 + Math.random() / 2);
}
