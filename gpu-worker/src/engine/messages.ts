/** What the HTTP thread and the engine thread say to each other. */
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import type { WrittenToken } from '@blip2/shared/frames';
import type { GenerationConfig, GpuTimings } from '@blip2/shared/wire';
import type { Choice } from './decoding.ts';

export type ExecutionProvider = 'cpu' | 'webgpu' | 'cuda';

/** `workerData` of the engine thread. */
export type EngineOptions = {
  bundle: string;
  manifest: GenerateManifest;
  executionProvider: ExecutionProvider;
  threads: number;
  maxSlots: number;
};

/** Where a job's query embeddings come from. */
export type JobSource =
  /** `pixels`: float32 [3, size, size]; jobs with the same `key` that wait at the same time share one encode. */
  | { kind: 'pixels'; key: string; pixels: Float32Array }
  /** Query embeddings, float32 [queries, hidden]. */
  | { kind: 'embeddings'; values: Float32Array };

export type Job = {
  source: JobSource;
  /** Absent when only the embeddings are wanted. */
  generate?: { inputIds: number[]; config: GenerationConfig };
};

export type ToEngine =
  | { type: 'submit'; id: number; job: Job }
  | { type: 'cancel'; id: number }
  | { type: 'close' };

/** What happens to one job, in this order; `done` or `failed` is the last. */
export type JobEvent =
  /** Query embeddings rounded to fp16, float32 [queries, hidden]. */
  | { type: 'embeddings'; values: Float32Array }
  | { type: 'tokens'; choice: number; tokens: WrittenToken[] }
  | { type: 'done'; choices: Choice[]; timings: GpuTimings }
  | { type: 'failed'; message: string };

export type FromEngine = { type: 'ready' } | { type: 'event'; id: number; event: JobEvent };
