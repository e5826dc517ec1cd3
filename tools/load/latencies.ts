/** Latencies in a histogram of constant memory and three significant digits, and the percentiles that are reported. */
import { build } from 'hdr-histogram-js';

/** Milliseconds; null where nothing was recorded. */
export type Percentiles = {
  count: number;
  p50: number | null;
  p90: number | null;
  p99: number | null;
  p999: number | null;
  max: number | null;
};

const MICROSECONDS = 1000;
/** Beyond this a latency counts as this: no request is waited for so long. */
const LONGEST_MS = 3_600_000;

export class Latencies {
  private readonly histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LONGEST_MS * MICROSECONDS,
    numberOfSignificantValueDigits: 3,
  });

  record(ms: number): void {
    this.histogram.recordValue(Math.round(Math.min(Math.max(ms, 0), LONGEST_MS) * MICROSECONDS));
  }

  /** Milliseconds below which so many percent are; null where nothing was recorded. */
  at(percent: number): number | null {
    const { histogram } = this;
    return histogram.totalCount === 0
      ? null
      : histogram.getValueAtPercentile(percent) / MICROSECONDS;
  }

  percentiles(): Percentiles {
    return {
      count: this.histogram.totalCount,
      p50: this.at(50),
      p90: this.at(90),
      p99: this.at(99),
      p999: this.at(99.9),
      max: this.at(100),
    };
  }
}
