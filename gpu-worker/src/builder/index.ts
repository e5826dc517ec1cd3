/** The model builder: checkpoint folder in, bundle folder out. */
export { type BuildProgress, type EnsureOptions, ensureBundle } from './bundle.ts';
export { readQFormerTokenizer } from './checkpoint/qformer-tokenizer.ts';
export { readTokenizer } from './checkpoint/tokenizer-file.ts';
export { objectionTo, objectionToModel, readGenerativeConfig } from './config/model-config.ts';
export { discardBundle, findDamage } from './damage.ts';
export { CheckpointError } from './errors.ts';
export { readGenerativeManifest, readManifest, readRetrievalManifest } from './manifest.ts';
