/** Whole simulations: nothing gets lost on paper, a seed is a seed, and what is known without simulating comes out. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../load/random.ts';
import { demand } from './arrivals.ts';
import { assumedTimes, L4 } from './assumed-card.ts';
import { wanted } from './autoscaler.ts';
import type { ServiceTimes } from './service-times.ts';
import { type Outcome, type Scenario, simulate } from './simulation.ts';
import { zipf } from './zipf.ts';

const worker = {
  maxSlots: 8,
  reserveSlots: 8,
  chunkTokens: 64,
  queueLimit: 16,
  decoders: 2,
  prefixImages: 50,
};

type Load = Partial<Scenario> & { rate: number; seconds: number; fresh?: number; tokens?: number };

function scenario({ rate, seconds, fresh = 0.2, tokens = 5, ...rest }: Load): Scenario {
  const seed = rest.seed ?? 1;
  const workers = rest.workers ?? 3;
  const times = rest.times ?? assumedTimes(L4);
  const random = seededRandom(seed);
  return {
    seed,
    arrivals: demand(
      { rate, durationMs: 1000 * seconds, image: zipf(200, 1), fresh, tokens },
      random,
    ),
    times,
    worker,
    workers,
    urls: Array.from({ length: Math.min(workers, 16) }, (_, i) => `http://worker-${i}`),
    edgeCache: { room: 100 },
    ...rest,
  };
}

const ended = ({ replies, refused, lost, inSystem }: Outcome) =>
  replies + refused + lost + inSystem;

describe('a simulation', () => {
  it('loses no request: each has a reply, a refusal, the loss of its worker, or is under way', () => {
    const loads = fc.record({
      rate: fc.integer({ min: 1, max: 200 }),
      seed: fc.nat(1000),
      workers: fc.integer({ min: 1, max: 5 }),
      fresh: fc.double({ min: 0, max: 1, noNaN: true }),
      isolates: fc.integer({ min: 1, max: 4 }),
      spotLifeMs: fc.constantFrom(undefined, 2000, 20_000),
      replaceMs: fc.constantFrom(0, 3000),
      cores: fc.constantFrom(null, [1, 1.6]),
      endMs: fc.constantFrom(undefined, 3000),
    });
    fc.assert(
      fc.property(loads, ({ spotLifeMs, endMs, ...load }) => {
        const outcome = simulate({
          ...scenario({ seconds: 5, ...load }),
          ...(spotLifeMs !== undefined && { spotLifeMs }),
          ...(endMs !== undefined && { endMs }),
        });
        expect(ended(outcome)).toBe(outcome.arrivals);
        if (endMs === undefined) expect(outcome.inSystem).toBe(0);
        // At most one for each time that a request is sent.
        expect(outcome.encodes).toBeLessThanOrEqual(outcome.arrivals + outcome.retried);
      }),
      { numRuns: 60 },
    );
  });

  it("keeps Little's law over edge and workers", () => {
    const outcome = simulate(scenario({ rate: 20, seconds: 60 }));
    let spent = 0;
    const again = simulate({
      ...scenario({ rate: 20, seconds: 60 }),
      onReply: ({ dueAt, endAt }) => {
        spent += endAt - dueAt;
      },
    });
    expect(again.refused + again.lost).toBe(0);
    expect(outcome.presence).toBeCloseTo(spent, 3);
  });

  it('is the same for the same seed, and another one for another', () => {
    const result = (seed: number) => {
      const { firstToken, reply, ...counts } = simulate(scenario({ rate: 30, seconds: 20, seed }));
      return { ...counts, firstToken: firstToken.percentiles(), reply: reply.percentiles() };
    };
    expect(result(4)).toEqual(result(4));
    expect(result(4)).not.toEqual(result(5));
  });

  it('of one request takes as long as its parts', () => {
    const times = assumedTimes(L4);
    const { miss, engine } = times;
    const outcome = simulate({
      ...scenario({ rate: 1, seconds: 1, times }),
      arrivals: [{ dueAt: 0, image: 1, tokens: 3 }],
    });
    const step = engine.step[0]!.ms[0]!;
    const first = miss.beforeWait + miss.decode + engine.encode[0]! + engine.prefillNew[0]!;
    expect(outcome.firstToken.at(50)).toBeCloseTo(first, 0);
    expect(outcome.reply.at(50)).toBeCloseTo(first + 2 * step, 0);
  });

  it('of requests that differ takes as much longer as their ways do', () => {
    const times = assumedTimes(L4);
    const { miss, hit } = times;
    const spread = [1, 3];
    const outcome = simulate({
      ...scenario({
        rate: 1,
        seconds: 1,
        times: { ...times, miss: { ...miss, spread }, hit: { ...hit, spread } },
      }),
      arrivals: Array.from({ length: 40 }, (_, i) => ({ dueAt: 10_000 * i, image: i, tokens: 1 })),
    });
    const [slow, quick] = [90, 10].map((percent) => outcome.firstToken.at(percent)!);
    expect(slow! - quick!).toBeCloseTo(2 * (miss.beforeWait + miss.decode), -1);
  });

  it('encodes an image once, however many ask about it at the same time', () => {
    const arrivals = Array.from({ length: 20 }, (_, i) => ({ dueAt: i, image: 1, tokens: 2 }));
    const { encodes, replies } = simulate({ ...scenario({ rate: 1, seconds: 1 }), arrivals });
    expect({ encodes, replies }).toEqual({ encodes: 1, replies: 20 });
  });

  it('asks a worker about the images that it knows, but not only one worker about a hot image', () => {
    const spread = simulate(scenario({ rate: 20, seconds: 60, fresh: 0, workers: 4 }));
    const { hits, misses } = spread.prefixes;
    expect(hits / (hits + misses)).toBeGreaterThan(0.75);
    const hot = Array.from({ length: 400 }, (_, i) => ({ dueAt: 40 * i, image: 1, tokens: 20 }));
    const { refused } = simulate({
      ...scenario({ rate: 1, seconds: 1, workers: 4 }),
      arrivals: hot,
    });
    expect(refused).toBe(0);
  });

  it('refuses what the queues of its workers have no place for', () => {
    const { refused, arrivals } = simulate(
      scenario({ rate: 500, seconds: 5, workers: 1, tokens: 20 }),
    );
    expect(refused).toBeGreaterThan(arrivals / 2);
  });

  it('has as many workers as the load wants, after the time that they take', () => {
    const sizes: [number, number][] = [];
    const scaling = {
      least: 1,
      most: 6,
      target: 4,
      step: 2,
      everyMs: 1000,
      delayMs: 5000,
      calmMs: 3000,
    };
    const outcome = simulate({
      ...scenario({ rate: 40, seconds: 40, workers: 1, tokens: 20, scaling }),
      onFleet: (at, ready) => sizes.push([at, ready]),
    });
    expect(sizes[0]).toEqual([0, 1]);
    expect(sizes[1]![0]).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...sizes.map(([, ready]) => ready))).toBe(6);
    expect(ended(outcome)).toBe(outcome.arrivals);
  });

  it('slows down where workers share cores', () => {
    const times: ServiceTimes = { ...assumedTimes(L4), cores: [1] };
    const alone = simulate(scenario({ rate: 20, seconds: 20 }));
    const shared = simulate(scenario({ rate: 20, seconds: 20, times, cores: [1] }));
    expect(shared.reply.at(50)).toBeGreaterThan(alone.reply.at(50) ?? 0);
  });
});

it.each([
  [{ underWay: 0, have: 3 }, 1],
  [{ underWay: 9, have: 3 }, 3],
  [{ underWay: 100, have: 3 }, 8],
  [{ underWay: 24, have: 7 }, 6],
])('%j wants %d workers', (load, expected) => {
  expect(wanted(load, { least: 1, most: 10, target: 4, step: 5 })).toBe(expected);
});
