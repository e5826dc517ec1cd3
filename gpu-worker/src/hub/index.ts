/** Checkpoints from a Hugging Face hub. */
export { HubError } from './errors.ts';
export { parseModelId } from './model-id.ts';
export type { HubOptions } from './options.ts';
export { type PullOptions, pull } from './pull.ts';
export { resolveCheckpoint } from './resolve.ts';
