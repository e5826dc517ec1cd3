/** Measures what comparing the files of bundles with their digests adds to loading a model. */
import { findDamage } from '@blip2/gpu-worker/builder/index';
import { readConfig } from '@blip2/gpu-worker/config';
import { loadEngine } from '@blip2/gpu-worker/load-engine';
import { SILENT } from '@blip2/gpu-worker/logger';
import {
  chooseCheckpoints,
  MODEL_OPTIONS,
  type ModelSettings,
} from '@blip2/gpu-worker/model-options';
import { resolveBundle } from '@blip2/gpu-worker/resolve-bundle';
import { findProvider } from '@blip2/gpu-worker/runtime/provider/index';
import { toEnvironment } from '@blip2/shared/config/read-options';
import { median } from './statistics.ts';

/**
 * Loads the model twice in each round, once with the digests and once without: what is first changes by turns. The files
 * are in the page cache from a first load that does not count, so that a load is as short as it gets and the digests' share as large.
 * @returns seconds, from the names of the checkpoints to an engine that has given its known answer
 */
export async function loadingRows(
  settings: ModelSettings,
  { rounds, onProgress }: { rounds: number; onProgress: (what: string) => void },
): Promise<string[][]> {
  const config = readConfig({ ...process.env, ...toEnvironment(MODEL_OPTIONS, settings) });
  const { provider: executionProvider } = await findProvider(config.executionProvider);
  const load = async (compare: typeof findDamage): Promise<number> => {
    const start = performance.now();
    const { engine, weights } = await loadEngine({
      ...chooseCheckpoints(config),
      bundleOf: async (name) => (await resolveBundle(name, config, () => {})).bundle,
      engineOptions: async () => ({
        executionProvider,
        threads: config.threads,
        maxSlots: config.maxSlots,
        reserveSlots: config.reserveSlots,
        prefillChunkTokens: config.prefillChunkTokens,
        prefixCacheBytes: config.prefixCacheMb * 2 ** 20,
      }),
      queueLimit: config.queueLimit,
      log: SILENT,
      findDamage: compare,
    });
    const seconds = (performance.now() - start) / 1000;
    await engine.stop();
    await weights[Symbol.asyncDispose]();
    return seconds;
  };
  onProgress('once, to have the files in memory');
  await load(findDamage);
  const compared: number[] = [];
  const bare: number[] = [];
  const measures = [
    async () => void compared.push(await load(findDamage)),
    async () => void bare.push(await load(async () => [])),
  ];
  for (let round = 0; round < rounds; round++) {
    onProgress(`round ${round + 1} of ${rounds}`);
    for (const measure of round % 2 === 0 ? measures : measures.toReversed()) await measure();
  }
  const [withDigests, without] = [median(compared), median(bare)];
  return [
    ['loading a model (s)', 'digests compared', 'not compared', 'digests add'],
    [
      `median of ${rounds}`,
      withDigests.toFixed(2),
      without.toFixed(2),
      `${(100 * (withDigests / without - 1)).toFixed(1)} %`,
    ],
  ];
}
