/** The plans of docs/fleet.md as tables: GPUs by load and by cached images, lost machines, a surge. */
import { type Plan, type Point, spot, surge, TARGET_MS, workersFor } from './plan.ts';
import { table } from './report.ts';
import type { Outcome } from './simulation.ts';

/** Requests a second that are planned for. */
const RATES = [10, 100, 1000, 9000];
/** Shares of requests about images that nobody has sent before. */
const FRESH = [0.05, 0.3, 0.8];
/** One of each is lost per so many hours, in the plan for spot machines. */
const SPOT_HOURS = [1, 4, 12, 48];
/** From the decision to a new worker that takes requests, seconds. */
const DELAYS_S = [30, 120, 300];

type Capacity = {
  fresh: number;
  rate: number;
  workers: number;
  p95: number;
  hitRatio: number;
};

/** How many workers are needed: each search begins where the one for fewer requests has ended. */
function capacities(plan: Plan, status: (line: string) => void): Capacity[] {
  return FRESH.flatMap((fresh) => {
    let [before, lastRate] = [1, RATES[0]!];
    return RATES.map((rate) => {
      status(`${rate} requests a second, ${Math.round(100 * fresh)} % of them about new images …`);
      // Larger fleets need no more for each request.
      const guess = Math.max(1, Math.ceil((before * rate) / lastRate));
      const { workers, p95, hitRatio } = workersFor({ ...plan, fresh }, rate, guess);
      [before, lastRate] = [workers, rate];
      return { fresh, rate, workers, p95, hitRatio };
    });
  });
}

/** A fleet of so many GPUs, all of them spot machines, at two thirds of what it can do. */
export const SPOT = { workers: 100, rate: 450, seconds: 300, replaceMs: 180_000 };

function spotOutcomes(plan: Plan, status: (line: string) => void) {
  return SPOT_HOURS.map((hours) => {
    status(`Spot machines that last ${hours} hours …`);
    return { hours, outcome: spot(plan, { ...SPOT, lifeMs: 3_600_000 * hours }) };
  });
}

/** Twice as many requests, all at once. */
const SURGE = { rate: 150, factor: 2, beforeS: 60, surgeS: 540, workers: 17 };

function surges(plan: Plan, status: (line: string) => void) {
  return DELAYS_S.map((delay) => {
    status(`Twice the load, and ${delay} seconds until a GPU is there …`);
    const scaling = {
      least: SURGE.workers,
      most: 200,
      target: plan.worker.maxSlots,
      step: 50,
      everyMs: 15_000,
      delayMs: 1000 * delay,
      calmMs: 300_000,
    };
    return { delay, ...surge(plan, SURGE, scaling) };
  });
}

export type PlanResult = {
  plan: Plan;
  capacities: Capacity[];
  spots: { hours: number; outcome: Outcome }[];
  surges: { delay: number; points: Point[]; outcome: Outcome }[];
};

export function runPlan(plan: Plan, status: (line: string) => void): PlanResult {
  return {
    plan,
    capacities: capacities(plan, status),
    spots: spotOutcomes(plan, status),
    surges: surges(plan, status),
  };
}

export function planTables({ plan, capacities: needed, spots, surges: grown }: PlanResult): string {
  const byRate = Map.groupBy(needed, ({ rate }) => rate);
  const rows = [...byRate].map(([rate, all]) => [
    String(rate),
    ...all.map(({ workers }) => String(workers)),
  ]);
  const heads = [...byRate.values()].at(-1)!.map(({ hitRatio }) => {
    return `${Math.round(100 * hitRatio)} % cached`;
  });
  const losses = spots.map(({ hours, outcome }) => [
    String(hours),
    `${((100 * outcome.lost) / outcome.arrivals).toFixed(3)} %`,
    `${((100 * outcome.refused) / outcome.arrivals).toFixed(3)} %`,
    (outcome.firstToken.at(95) ?? 0).toFixed(0),
    (outcome.firstToken.at(99) ?? 0).toFixed(0),
  ]);
  const growing = grown.map(({ delay, points, outcome }) => [
    String(delay),
    Math.max(...points.map(({ p95 }) => p95)).toFixed(0),
    String(10 * points.filter(({ p95 }) => p95 > TARGET_MS).length),
    `${((100 * outcome.refused) / outcome.arrivals).toFixed(2)} %`,
    String(points.at(-1)?.workers),
  ]);
  return [
    `Service times: ${plan.times.machine}, ${plan.times.source}.`,
    table(['requests a second', ...heads], rows),
    table(
      [
        'mean hours until a machine is lost',
        'cut off',
        'refused',
        'first token, p95 (ms)',
        'p99 (ms)',
      ],
      losses,
    ),
    table(
      [
        'seconds until a GPU is there',
        'worst p95 of ten seconds (ms)',
        `seconds above ${TARGET_MS} ms`,
        'refused',
        'GPUs at the end',
      ],
      growing,
    ),
  ].join('\n\n');
}
