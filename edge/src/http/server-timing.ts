/** The `Server-Timing` header: the parts of a request's time. */
import type { GpuTimings } from '@blip2/shared/wire';

/** Milliseconds since the epoch; `locatedAt` where embeddings, or a cached reply, were looked up. */
export type RequestMarks = {
  startedAt: number;
  readAt: number;
  locatedAt?: number;
  /** Whether a cached reply was found. */
  isReplay?: boolean;
  endedAt: number;
};

/**
 * Milliseconds by part. `read`, `lookup` (`reply` where that found a reply), the GPU worker's parts and `wait` (the way there and back, and what overlaps)
 * add up to `total`. The clock of a Worker moves with its I/O only.
 * @example
 * serverTiming({ startedAt: 0, readAt: 2, locatedAt: 5, endedAt: 20 }, { prefill: 4, decode: 6 });
 * // read;dur=2.0, lookup;dur=3.0, prefill;dur=4.0, decode;dur=6.0, wait;dur=5.0, total;dur=20.0
 */
export function serverTiming(
  { startedAt, readAt, locatedAt, isReplay = false, endedAt }: RequestMarks,
  worker: GpuTimings,
): string {
  const parts = Object.entries(worker).filter(([, ms]) => ms !== undefined) as [string, number][];
  const worked = parts.reduce((sum, [, ms]) => sum + ms, 0);
  const entries: [string, number][] = [
    ['read', readAt - startedAt],
    ...(locatedAt === undefined
      ? []
      : [[isReplay ? 'reply' : 'lookup', locatedAt - readAt] satisfies [string, number]]),
    ...parts,
    ['wait', endedAt - (locatedAt ?? readAt) - worked],
    ['total', endedAt - startedAt],
  ];
  return entries.map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`).join(', ');
}
