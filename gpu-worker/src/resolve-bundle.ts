/** From the name of a checkpoint to its bundle, pulled and built unless that was done before. */
import { ensureBundle, objectionTo, objectionToModel } from './builder/index.ts';
import { type PullOptions, resolveCheckpoint } from './hub/index.ts';
import { bundleOptionsOf, hubOptionsOf, type ModelSettings } from './model-options.ts';

/** `done` of `total` bytes; `label` is for people. */
export type BundleProgress = {
  step: 'download' | 'build';
  done: number;
  total: number;
  label: string;
};

/** Paths: the checkpoint's folder, or its file of weights, and the bundle's folder. */
export type ResolvedBundle = { checkpoint: string; bundle: string };

/**
 * The bundle of a checkpoint. The base that an adapter or a checkpoint of LAVIS names is pulled as well.
 * @param name folder, file of weights, or model on a hub
 * @throws HubError when the checkpoint cannot be had
 * @throws CheckpointError when no bundle can be made of it
 */
export async function resolveBundle(
  name: string,
  settings: ModelSettings,
  onProgress: (progress: BundleProgress) => void = () => {},
): Promise<ResolvedBundle> {
  const hub = hubOptionsOf(settings);
  const find = (model: string, options: PullOptions = {}) =>
    resolveCheckpoint(model, hub, {
      ...options,
      onProgress: (progress) => onProgress({ step: 'download', ...progress }),
    });
  const checkpoint = await find(name, { objection: objectionTo });
  const bundle = await ensureBundle(checkpoint, {
    ...bundleOptionsOf(settings),
    resolveBase: (id, isTokenizerNeeded) =>
      find(id, { isTokenizerNeeded, objection: objectionToModel }),
    onProgress: (progress) => onProgress({ step: 'build', ...progress }),
  });
  return { checkpoint, bundle };
}
