/** Measures what comparing the files of bundles with their digests adds to loading a model. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MODEL_OPTIONS, type ModelSettings } from '@blip2/gpu-worker/model-options';
import { tunedArguments, tunedEnvironment } from '@blip2/gpu-worker/runtime/memory-tuning';
import { toEnvironment } from '@blip2/shared/config/read-options';
import { median } from './statistics.ts';

/** From the names of the checkpoints to an engine that has given its known answer. */
export type Load = {
  seconds: number;
  /** Of all threads. */
  cpuSeconds: number;
};

const ONE_LOAD = fileURLToPath(new URL('one-load.ts', import.meta.url));

/**
 * Loads the model twice in each round, once with the digests and once without: what is first changes by turns. The files
 * are in the page cache from a first load that does not count, so that a load is as short as it gets and the digests' share as
 * large. Each load has a process of its own, with the worker's settings of memory: a second one in the same process finds
 * pages that the first has mapped.
 */
export async function loadingRows(
  settings: ModelSettings,
  { rounds, onProgress }: { rounds: number; onProgress: (what: string) => void },
): Promise<string[][]> {
  const environment = { ...process.env, ...toEnvironment(MODEL_OPTIONS, settings) };
  const load = async (digests: 'compare-digests' | 'no-digests'): Promise<Load> => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...tunedArguments(process.execArgv), ONE_LOAD, digests],
      { env: tunedEnvironment(environment, process.platform) ?? environment },
    );
    return JSON.parse(stdout);
  };
  onProgress('once, to have the files in memory');
  await load('compare-digests');
  const compared: Load[] = [];
  const bare: Load[] = [];
  const measures = [
    async () => void compared.push(await load('compare-digests')),
    async () => void bare.push(await load('no-digests')),
  ];
  for (let round = 0; round < rounds; round++) {
    onProgress(`round ${round + 1} of ${rounds}`);
    for (const measure of round % 2 === 0 ? measures : measures.toReversed()) await measure();
  }
  const row = (name: string, of: (load: Load) => number): string[] => {
    const [withDigests, without] = [median(compared.map(of)), median(bare.map(of))];
    const added = `${(100 * (withDigests / without - 1)).toFixed(1)} %`;
    return [name, withDigests.toFixed(2), without.toFixed(2), added];
  };
  return [
    [`loading a model, median of ${rounds}`, 'digests compared', 'not compared', 'digests add'],
    row('until it is ready (s)', ({ seconds }) => seconds),
    row('time of processors (s)', ({ cpuSeconds }) => cpuSeconds),
  ];
}
