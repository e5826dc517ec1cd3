/** Who comes when and asks about what: a Poisson process, images by popularity, and some that nobody has sent before. */
import { dueTimes } from '../load/open-loop.ts';
import type { Random } from '../load/random.ts';
import type { Arrival } from './simulation.ts';

export type Demand = {
  /** Requests a second. */
  rate: number;
  durationMs: number;
  /** Draws one of the images that are asked about again and again. */
  image: (random: Random) => number;
  /** Share of requests about images that were never sent before, 0 to 1. */
  fresh?: number;
  /** Tokens of each reply. */
  tokens: number;
  startMs?: number;
};

/** Images that nobody has sent before have numbers from here on. */
const FRESH = 2 ** 40;

/** @example simulate({ arrivals: demand({ rate: 100, durationMs: 60_000, image: zipf(1e6, 1), tokens: 20 }, random), … }) */
export function* demand(
  { rate, durationMs, image, fresh = 0, tokens, startMs = 0 }: Demand,
  random: Random,
): Generator<Arrival> {
  let next = FRESH + startMs;
  for (const due of dueTimes('poisson', { rate, durationMs, random })) {
    const isFresh = fresh > 0 && random() < fresh;
    yield { dueAt: startMs + due, image: isFresh ? next++ : image(random), tokens };
  }
}
