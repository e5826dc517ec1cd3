/** From the name of a checkpoint to its bundle, pulled and built unless that was done before. */
import { ensureBundle } from './builder/index.ts';
import { resolveCheckpoint } from './hub/index.ts';
import { bundleOptionsOf, hubOptionsOf, type ModelSettings } from './model-options.ts';

/** `done` of `total` bytes; `label` is for people. */
export type BundleProgress = {
  step: 'download' | 'build';
  done: number;
  total: number;
  label: string;
};

/** Folders. */
export type ResolvedBundle = { checkpoint: string; bundle: string };

/**
 * @param name folder, or model on a hub
 * @throws HubError when the checkpoint cannot be had
 * @throws CheckpointError when no bundle can be made of it
 */
export async function resolveBundle(
  name: string,
  settings: ModelSettings,
  onProgress: (progress: BundleProgress) => void = () => {},
): Promise<ResolvedBundle> {
  const checkpoint = await resolveCheckpoint(name, hubOptionsOf(settings), {
    onProgress: (progress) => onProgress({ step: 'download', ...progress }),
  });
  const bundle = await ensureBundle(checkpoint, {
    ...bundleOptionsOf(settings),
    onProgress: (progress) => onProgress({ step: 'build', ...progress }),
  });
  return { checkpoint, bundle };
}
