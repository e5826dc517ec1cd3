/** How much memory keys and values may take where nobody says it: what the other parts of the worker leave. */
import type { BundleManifest, GenerativeManifest } from '@blip2/shared/bundle-manifest';
import type { Config } from './config.ts';
import { leastBudget } from './engine/kv/kv-budget.ts';
import { type ExecutionProvider, supportsDeviceTensors } from './runtime/session-options.ts';

const MEBIBYTE = 2 ** 20;
/** Of programs, and of what a pass has beside keys and values: logits, and the activations of a chunk. */
const PROGRAMS_MB = 768;
/** Weights that were packed anew take more than their file. */
const PACKED = 1.2;
/** Of what is left; the rest is for what was not counted. */
const SHARE = 0.8;

type Settings = Pick<
  Config,
  'kvCacheMb' | 'decodeTotalMemoryMb' | 'maxBodyMemoryMb' | 'prefixCacheMb'
>;

export type Served = {
  generate: GenerativeManifest;
  retrieve?: BundleManifest | undefined;
  executionProvider: ExecutionProvider;
};

/**
 * Bytes; undefined where they have no bound: caches are in the memory of a device, of which nothing says how much there is. WebGPU has
 * no query for it, and this machine's memory may be less than a GPU's, or many times as much. One sequence as long as the model's positions fits in any case.
 * @param memoryMb of the machine or container
 */
export function kvCacheBytes(
  { kvCacheMb, decodeTotalMemoryMb, maxBodyMemoryMb, prefixCacheMb }: Settings,
  { generate, retrieve, executionProvider }: Served,
  memoryMb: number,
): number | undefined {
  if (kvCacheMb !== undefined) return kvCacheMb * MEBIBYTE;
  if (supportsDeviceTensors(executionProvider)) return undefined;
  const weights = weightsOf(generate) + (retrieve === undefined ? 0 : weightsOf(retrieve));
  const others = decodeTotalMemoryMb + maxBodyMemoryMb + prefixCacheMb + PROGRAMS_MB;
  const left = (memoryMb - others) * MEBIBYTE - PACKED * weights;
  return Math.max(Math.floor(SHARE * left), leastBudget(generate));
}

/** Bytes of a bundle's files: the weights, but for little. */
function weightsOf({ files }: BundleManifest): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}
