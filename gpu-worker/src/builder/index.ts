/** The model builder: checkpoint folder in, bundle folder out. */
export {
  type BuildProgress,
  type EnsureOptions,
  ensureBundle,
  readGenerateManifest,
  readManifest,
  readRetrieveManifest,
} from './bundle.ts';
export { readTokenizer } from './checkpoint/tokenizer-file.ts';
export { readGenerateConfig } from './config/model-config.ts';
export { CheckpointError } from './errors.ts';
