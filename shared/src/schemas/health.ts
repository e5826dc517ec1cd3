/** `GET /healthz`. */
import * as z from 'zod/mini';

export const Health = z.object({
  status: z.literal('ok'),
  /** `ok` for each part of the chain. */
  checks: z.record(z.string(), z.string()),
  /** Name and revision of the generative model. */
  model: z.string(),
  revision: z.string(),
  /** Cached query embeddings that could not be read, since this instance of the Worker started. */
  damaged_entries: z.int(),
});
export type Health = z.infer<typeof Health>;
