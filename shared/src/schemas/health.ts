/** `GET /healthz`. */
import * as z from 'zod/mini';
import { ModelCard } from '../edge-model.ts';
import { WorkerModel } from '../wire.ts';
import { described, describedMembers } from './described.ts';

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

describedMembers(ModelCard.shape, {
  summary: ['Predicate of a sentence whose subject is the model.', 'knows emoji scenes only'],
  description: 'What the model knows, in a sentence or two.',
  caution: 'What to bear in mind about images that it was not trained for.',
});
described(Health, 'The whole chain can answer.');
describedMembers(Health.shape, {
  status: 'Always `ok`: where something is wrong, the reply is a problem that names it.',
  checks: [
    'The parts of the chain: GPU worker, its model, and KV.',
    { gpu_worker: 'ok', model: 'ok', kv: 'ok' },
  ],
  model: ['Name of the generative model.', 'blip2-scenes'],
  revision: ["Hash of the checkpoint's weights and config.", '0123456789abcdef'],
  model_card: [
    'What its model card says of it in a few words, where it does.',
    { summary: 'knows emoji scenes only', caution: 'About photos it guesses.' },
  ],
  execution_provider: ['On what the GPU worker computes.', 'cpu'],
  execution_provider_why: ['Why on that.', 'no GPU was found'],
  precision: ['In what the large weights are stored.', 'fp32'],
  damaged_entries: [
    'Cached embeddings that could not be read, since this instance of the Worker started.',
    0,
  ],
});
