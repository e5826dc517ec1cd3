/** The plots of docs/fleet.md: drawn as SVG by echarts, which needs no browser for it, and stored as PNG. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type EChartsOption, init } from 'echarts';
import sharp from 'sharp';
import { seededRandom } from '../load/random.ts';
import { cheHitRatio } from './che.ts';
import { LruCache } from './lru-cache.ts';
import { TARGET_MS } from './plan.ts';
import { type PlanResult, SPOT } from './plan-tables.ts';
import type { ServiceTimes } from './service-times.ts';
import type { Figures, Validation } from './validate.ts';
import { zipf, zipfChances } from './zipf.ts';

const [WIDTH, HEIGHT] = [900, 480];
const FONT = 'DejaVu Sans, Arial, sans-serif';

/** By the names of their files. */
export type Plots = Readonly<Record<string, Plot>>;

type Series = {
  name: string;
  points: readonly (readonly [number, number])[];
  isDashed?: boolean;
  isDots?: boolean;
};
type Plot = {
  title: string;
  x: { name: string; type?: 'log' | 'value'; min?: number; max?: number };
  y: { name: string; type?: 'log' | 'value'; max?: number };
  series: readonly Series[];
};

/** What a plan has found. */
export function planPlots(result: PlanResult): Plots {
  return {
    'fleet-hits': hits(),
    'fleet-gpus': gpus(result),
    'fleet-surge': surgePlot(result),
    'fleet-spot': spotPlot(result),
  };
}

/** What was measured, and what the simulation says of it. */
export function validationPlots(times: ServiceTimes, validations: readonly Validation[]): Plots {
  return { 'fleet-steps': steps(times), 'fleet-validation': comparison(validations) };
}

/**
 * @param folder where they go
 * @returns paths of the images
 */
export async function drawPlots(folder: string, plots: Plots): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const paths: string[] = [];
  for (const [name, plot] of Object.entries(plots)) {
    const path = join(folder, `${name}.png`);
    await sharp(Buffer.from(svgOf(plot)))
      .png({ palette: true, colors: 64 })
      .toFile(path);
    paths.push(path);
  }
  return paths;
}

function svgOf({ title, x, y, series }: Plot): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT });
  const option: EChartsOption = {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: FONT },
    title: { text: title, left: 'center', top: 8, textStyle: { fontSize: 16, fontFamily: FONT } },
    legend: { top: 38, itemGap: 24, textStyle: { fontFamily: FONT, width: 130 } },
    grid: { left: 80, right: 40, top: series.length > 5 ? 106 : 80, bottom: 60 },
    xAxis: { type: 'value', ...x, nameLocation: 'middle', nameGap: 34 },
    yAxis: { type: 'value', ...y, nameLocation: 'middle', nameGap: 52 },
    series: series.map(({ name, points, isDashed, isDots }) => ({
      name,
      type: isDots ? 'scatter' : 'line',
      data: points.map(([a, b]) => [a, b]),
      symbolSize: 7,
      showSymbol: !isDashed,
      lineStyle: isDashed ? { type: 'dashed' as const } : {},
    })) as EChartsOption['series'] & object,
  };
  chart.setOption(option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

/** Times to first token and to the end of a reply, for each number of workers. */
function comparison(validations: readonly Validation[]): Plot {
  const rows: readonly [string, keyof Figures][] = [
    ['first token, p50', 'firstTokenP50'],
    ['first token, p95', 'firstTokenP95'],
    ['reply, p50', 'replyP50'],
    ['reply, p95', 'replyP95'],
  ];
  return {
    title: 'Measured (lines) and simulated (dashed)',
    x: { name: 'GPU workers', min: 1, max: Math.max(...validations.map(({ workers }) => workers)) },
    y: { name: 'ms' },
    series: rows.flatMap(([name, key]): Series[] => [
      { name, points: validations.map(({ workers, measured }) => [workers, measured[key]]) },
      {
        name: `${name}, simulated`,
        points: validations.map(({ workers, simulated }) => [workers, simulated[key]]),
        isDashed: true,
      },
    ]),
  };
}

const IMAGES = 20_000;
const SKEWS = [0.6, 0.8, 1, 1.2];
const ROOMS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7];
const DRAWS = 100_000;

/** Of a cache for a part of all images, by how unequally popular they are. */
function hits(): Plot {
  const series = SKEWS.flatMap((skew): Series[] => {
    const chances = zipfChances(IMAGES, skew);
    const draw = zipf(IMAGES, skew);
    const simulated = ROOMS.map((room) => {
      const cache = new LruCache(room * IMAGES);
      // As after a long time: those that are asked about most.
      for (let image = room * IMAGES - 1; image >= 0; image--) cache.put(image, 0);
      const random = seededRandom(1);
      let found = 0;
      for (let i = 0; i < 2 * DRAWS; i++) {
        const image = draw(random);
        if (cache.has(image, 0) && i >= DRAWS) found += 1;
        cache.put(image, 0);
      }
      return [100 * room, (100 * found) / DRAWS] as const;
    });
    const formula = ROOMS.map(
      (room) => [100 * room, 100 * cheHitRatio(chances, room * IMAGES)] as const,
    );
    return [
      { name: `skew ${skew}`, points: simulated, isDots: true },
      { name: `${skew} by formula`, points: formula, isDashed: true },
    ];
  });
  return {
    title: 'Hits by popularity: simulated (dots) and by formula (lines)',
    x: { name: 'images that the cache has room for (%)' },
    y: { name: 'hits (%)', max: 100 },
    series,
  };
}

/** What batching gains, as it was measured. */
function steps({ engine: { step }, machine }: ServiceTimes): Plot {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, ms) => sum + ms, 0) / values.length;
  return {
    title: `Decode step by sequences, measured (${machine})`,
    x: { name: 'sequences that share a step', min: 1 },
    y: { name: 'ms' },
    series: [
      { name: 'a step', points: step.map(({ rows, ms }) => [rows, mean(ms)] as const) },
      {
        name: 'for each token',
        points: step.map(({ rows, ms }) => [rows, mean(ms) / rows] as const),
      },
    ],
  };
}

function gpus({ plan, capacities }: PlanResult): Plot {
  const shares = [...new Set(capacities.map(({ fresh }) => fresh))];
  return {
    title: `GPUs for a p95 of ${TARGET_MS} ms to the first token (${plan.times.machine}, assumed)`,
    x: { name: 'requests a second', type: 'log' },
    y: { name: 'GPUs', type: 'log' },
    series: shares.map((fresh) => {
      const own = capacities.filter((one) => one.fresh === fresh);
      return {
        name: `${Math.round(100 * (own.at(-1)?.hitRatio ?? 0))} % of images cached`,
        points: own.map(({ rate, workers }) => [rate, workers] as const),
      };
    }),
  };
}

function surgePlot({ plan, surges }: PlanResult): Plot {
  return {
    title: `Twice the load after a minute, by the time that a new GPU takes (${plan.times.machine}, assumed)`,
    x: { name: 'seconds' },
    y: { name: 'first token, p95 of ten seconds (ms)', type: 'log' },
    series: surges.map(({ delay, points }) => ({
      name: `${delay} s`,
      points: points.map(({ second, p95 }) => [second, p95] as const),
    })),
  };
}

function spotPlot({ plan, spots }: PlanResult): Plot {
  return {
    title: `${SPOT.workers} spot GPUs (${plan.times.machine}, assumed)`,
    x: { name: 'mean hours until a machine is lost', type: 'log' },
    y: { name: 'first token (ms)' },
    series: [50, 95, 99].map((percent) => ({
      name: `p${percent}`,
      points: spots.map(
        ({ hours, outcome }) => [hours, outcome.firstToken.at(percent) ?? 0] as const,
      ),
    })),
  };
}
