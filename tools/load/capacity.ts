/** The highest rate at which the mix stays within a bound: doubled until it does not, then halved towards it. */

export type Trial = { rate: number; p99: number | null; failed: number; isWithin: boolean };

/** The rate is found to this share of itself. */
const PRECISION = 0.1;
const HIGHEST = 10_000;

/**
 * @param measure p99 and failures of the mix at a rate
 * @returns all trials; the answer is the highest rate among those within the bound
 */
export async function findCapacity(
  measure: (rate: number) => Promise<{ p99: number | null; failed: number }>,
  { from, boundMs }: { from: number; boundMs: number },
): Promise<Trial[]> {
  const trials: Trial[] = [];
  const isWithin = async (rate: number) => {
    const { p99, failed } = await measure(rate);
    const trial = { rate, p99, failed, isWithin: failed === 0 && p99 !== null && p99 <= boundMs };
    trials.push(trial);
    return trial.isWithin;
  };
  let [low, high] = [0, from];
  while (high < HIGHEST && (await isWithin(high))) [low, high] = [high, 2 * high];
  while (high - low > PRECISION * high && high > 1) {
    const middle = (low + high) / 2;
    if (await isWithin(middle)) low = middle;
    else high = middle;
  }
  return trials;
}

/** The highest rate that was within the bound; 0 where none was. */
export function capacityOf(trials: readonly Trial[]): number {
  return Math.max(0, ...trials.filter(({ isWithin }) => isWithin).map(({ rate }) => rate));
}
