/** The model builder: checkpoint folder in, bundle folder out. */
export {
  type BuildProgress,
  type EnsureOptions,
  ensureBundle,
  readGenerateManifest,
  readManifest,
  readRetrieveManifest,
} from './bundle.ts';
export { readGenerateConfig } from './config.ts';
export { CheckpointError } from './errors.ts';
export { defaultBundles } from './settings.ts';
export { readTokenizer } from './tokenizer-file.ts';
