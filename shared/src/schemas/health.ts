/** `GET /healthz`. */
import * as z from 'zod/mini';
import { WorkerModel } from '../wire.ts';
import { described, describedMembers } from './described.ts';

export const Health = z.object({
  status: z.literal('ok'),
  /** `ok` for each part of the chain. */
  checks: z.record(z.string(), z.string()),
  /** Name and revision of the generative model. */
  model: z.string(),
  revision: z.string(),
  /** On what the GPU worker computes, why on that, and with how many bits of the large weights. */
  execution_provider: z.optional(WorkerModel.shape.execution_provider),
  execution_provider_why: WorkerModel.shape.execution_provider_why,
  precision: WorkerModel.shape.precision,
  /** Cached query embeddings that could not be read, since this instance of the Worker started. */
  damaged_entries: z.int(),
});
export type Health = z.infer<typeof Health>;

described(Health, 'The whole chain can answer.');
describedMembers(Health.shape, {
  status: 'Always `ok`: where something is wrong, the reply is a problem that names it.',
  checks: [
    'The parts of the chain: GPU worker, its model, and KV.',
    { gpu_worker: 'ok', model: 'ok', kv: 'ok' },
  ],
  model: ['Name of the generative model.', 'blip2-scenes'],
  revision: ["Hash of the checkpoint's weights and config.", '0123456789abcdef'],
  execution_provider: ['On what the GPU worker computes.', 'cpu'],
  execution_provider_why: ['Why on that.', 'no GPU was found'],
  precision: ['In what the large weights are stored.', 'fp32'],
  damaged_entries: [
    'Cached embeddings that could not be read, since this instance of the Worker started.',
    0,
  ],
});
