/** All parts of the load, one after another: warm-up, the mix with memory watched, tokens, fairness. */

import { callersBy } from './callers.ts';
import { fillCaches } from './fill-caches.ts';
import { measureFairness } from './measure-fairness.ts';
import { type Load, type MixOptions, measureMix } from './measure-mix.ts';
import { measureTokens } from './measure-tokens.ts';
import { watchMemory } from './memory.ts';
import { seededRandom } from './random.ts';
import type { LoadReport } from './report.ts';
import { knownImages, supplyOf } from './scenes.ts';
import { warmUp } from './warm-up.ts';

export type LoadOptions = {
  url: string;
  /** Header from which the API takes a caller's address. */
  callerHeader: string;
  seed: number;
  mix: Omit<MixOptions, 'onProgress'>;
  /** Images that are asked about again and again. */
  known: number;
  /** Seconds of each of the other two parts. */
  partSeconds: number;
  /** Whether caches are filled first, so that memory that grows afterwards has no end. */
  fill: boolean;
  /** The GPU worker's process where the service is ours. */
  workerPid?: () => number | undefined;
  onStatus?: (line: string) => void;
};

/** New images a second, and questions of the light caller, in the parts beside the mix. */
const [IMAGES_PER_SECOND, QUESTIONS_PER_SECOND] = [4, 4];
const SAMPLE_MS = 2000;

export async function prepareLoad({
  url,
  callerHeader,
  seed,
  known: count,
}: Pick<LoadOptions, 'url' | 'callerHeader' | 'seed' | 'known'>): Promise<Load> {
  const random = seededRandom(seed);
  const known = await knownImages(count);
  const load: Load = {
    url,
    material: { known, supply: supplyOf(known, random), random },
    signAs: callersBy(callerHeader),
  };
  await warmUp(load);
  return load;
}

export async function measureLoad({
  mix: options,
  partSeconds: seconds,
  fill,
  workerPid,
  onStatus: status = () => {},
  ...rest
}: LoadOptions): Promise<Omit<LoadReport, 'machine' | 'command'>> {
  status('Warming up …');
  const load = await prepareLoad(rest);
  if (fill) {
    await fillCaches(load, (done) => status(`Filling the caches: ${Math.floor(100 * done)} %`));
  }
  const total = Math.round(options.rate * options.seconds);
  const memory = workerPid === undefined ? null : watchMemory(workerPid, SAMPLE_MS);
  const mix = await measureMix(load, {
    ...options,
    onProgress: ({ sent, ended, failed }) =>
      status(
        `The mix: ${Math.min(100, Math.floor((100 * sent) / total))} %, ${sent - ended} under way, ${failed} failed`,
      ),
  });
  const growth = (await memory?.stop()) ?? [];
  status('Time between tokens …');
  const tokens = await measureTokens(load, { seconds, imagesPerSecond: IMAGES_PER_SECOND });
  status('A greedy and a light caller …');
  const fairness = await measureFairness(load, { seconds, rate: QUESTIONS_PER_SECOND });
  return { mix, tokens, fairness, memory: growth };
}
