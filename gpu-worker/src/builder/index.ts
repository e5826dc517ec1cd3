/** The model builder: checkpoint folder in, bundle folder out. */
export {
  type BuildProgress,
  defaultBundles,
  type EnsureOptions,
  ensureBundle,
  readGenerateManifest,
  readManifest,
  readRetrieveManifest,
} from './bundle.ts';
export { readGenerateConfig } from './config.ts';
export { CheckpointError } from './errors.ts';
export { readTokenizer } from './tokenizer-file.ts';
