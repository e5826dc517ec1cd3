/** Measures many captions at once at the GPU worker: their rate together, and the slowest of them. */
import type { Stack } from '../local-stack.ts';
import { captionRequest, type Embeddings, embed, freshImages, runDirect } from './requests.ts';
import { median } from './statistics.ts';

export const STREAMS = [1, 2, 4, 8, 16] as const;
const TOKENS = 48;

/** The numbers of streams alternate, so that noise of the machine affects all; query embeddings are sent. Medians over the rounds. */
export async function streamRows(stack: Stack, rounds: number): Promise<string[][]> {
  const request = captionRequest(stack.model, TOKENS);
  const sources: Embeddings[] = [];
  for (const image of await freshImages(Math.max(...STREAMS))) {
    sources.push((await embed(stack, image)).source);
  }
  const rates = new Map<number, number[]>(STREAMS.map((count) => [count, []]));
  const slowest = new Map<number, number[]>(STREAMS.map((count) => [count, []]));
  for (let round = 0; round < rounds; round++) {
    for (const count of STREAMS) {
      const start = performance.now();
      const all = await Promise.all(
        sources.slice(0, count).map((source) => runDirect(stack, request, source)),
      );
      const tokens = all.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
      rates.get(count)?.push((1000 * tokens) / (performance.now() - start));
      const finished = all.map(({ arrivals }) => arrivals.at(-1) ?? Number.NaN);
      slowest.get(count)?.push(Math.max(...finished) / Math.min(...finished));
    }
  }
  const one = median(rates.get(1) ?? []);
  return [
    ['streams', 'tokens/s, all together', 'times one stream', 'slowest over fastest'],
    ...STREAMS.map((count) => {
      const rate = median(rates.get(count) ?? []);
      const spread = median(slowest.get(count) ?? []);
      return [String(count), rate.toFixed(0), (rate / one).toFixed(2), spread.toFixed(2)];
    }),
  ];
}
