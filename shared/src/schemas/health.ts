/** `GET /healthz`. */
import * as z from 'zod/mini';
import { ModelCard } from '../edge-model.ts';
import { WorkerModel } from '../wire.ts';

export const Health = z.object({
  status: z.literal('ok'),
  /** `ok` for each part of the chain. */
  checks: z.record(z.string(), z.string()),
  /** Name and revision of the generative model. */
  model: z.string(),
  revision: z.string(),
  /** What the model knows, in the words of its model card. */
  model_card: z.optional(ModelCard),
  /** On what the GPU worker computes, why on that, and with how many bits of the large weights. */
  execution_provider: z.optional(WorkerModel.shape.execution_provider),
  execution_provider_why: WorkerModel.shape.execution_provider_why,
  precision: WorkerModel.shape.precision,
  /** Cached query embeddings that could not be read, since this instance of the Worker started. */
  damaged_entries: z.int(),
});
export type Health = z.infer<typeof Health>;
