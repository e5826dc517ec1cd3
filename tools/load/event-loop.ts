/** How late the generator's own event loop is: what it could not send or read meanwhile counts as the service's time. */
import { Latencies, type Percentiles } from './latencies.ts';

const EVERY_MS = 10;

/** Watches until it is stopped. */
export function watchEventLoop(): { stop: () => Percentiles } {
  const late = new Latencies();
  let expectedAt = performance.now() + EVERY_MS;
  const timer = setInterval(() => {
    const now = performance.now();
    late.record(now - expectedAt);
    expectedAt = now + EVERY_MS;
  }, EVERY_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return late.percentiles();
    },
  };
}
