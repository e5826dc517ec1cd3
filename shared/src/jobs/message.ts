/** One item of a job as it lies in the queue: what a GPU worker needs to run it, and where its image is. */
import * as z from 'zod/mini';
import { CacheNamespace, GpuTask } from '../wire.ts';

/** Names a job, and a part of it by its number from 0. */
export const JobId = z.string().check(z.regex(/^[0-9a-f]{96}$/, 'must be the id of a job'));
export const PartNumber = z.int().check(z.gte(0), z.lt(100_000));
/** Number of an item within its part, from 0. */
export const ItemNumber = z.int().check(z.gte(0), z.lt(100_000));

/** Where the worker gets what the item is about: from a signed URL of the bucket, or from the edge (`imagePath`). */
export const JobSource = z.union([
  z.strictObject({ url: z.url() }),
  z.strictObject({ edge: z.literal(true) }),
]);

/**
 * Attribute of a message whose item may be what ends workers, as the edge knows: how often the message came says nothing of it yet.
 * No part of the body, so that workers of before read it too.
 */
export const SUSPECT_ATTRIBUTE = 'suspect';

/** Body of a message, JSON. An item without a source is about texts alone. */
export const JobMessage = z.strictObject({
  v: z.literal(1),
  job: JobId,
  part: PartNumber,
  item: ItemNumber,
  /** Of the bundle the edge tokenized for. */
  revision: z.string().check(z.maxLength(256)),
  preprocessing: z.optional(z.string().check(z.maxLength(256))),
  task: GpuTask,
  source: z.optional(JobSource),
  /** Who waits for the job: fair queues and fair slots go by it. */
  client: z.string().check(z.maxLength(256)),
  namespace: z.optional(CacheNamespace),
  /** Whether the embeddings that the worker computes are wanted in the commit. */
  wants_embeddings: z.optional(z.literal(true)),
  /** Milliseconds since the epoch, after which nobody wants the result. */
  expires_at: z.int(),
});
export type JobMessage = z.infer<typeof JobMessage>;
