/** What a GPU worker says to the edge about items of a part that it has run, and what it hears. */
import * as z from 'zod/mini';
import { Problem } from '../errors.ts';
import { ItemNumber, type JobId, type PartNumber } from './message.ts';

/** Header of an item's source: a number. Edges of before send none. */
export const SOURCE_FAILURES_HEADER = 'x-blip2-source-failures';

/** Most items of one commit. */
export const MAX_COMMIT = 100;

/**
 * How an item ended. `frames`: the frames of the worker's reply (`gpu-events.ts`), base64, `embeddings` only where they were wanted,
 * and the SHA-256 of the image that was read. `failed`: a problem that another try would meet again. `gave-up`: it came back from the
 * queue too often.
 */
export const ItemOutcome = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('frames'),
    frames: z.string(),
    sha256: z.optional(z.string().check(z.regex(/^[0-9a-f]{64}$/))),
  }),
  z.strictObject({ kind: z.literal('failed'), problem: Problem }),
  z.strictObject({ kind: z.literal('gave-up'), receives: z.int().check(z.gte(1)) }),
]);
export type ItemOutcome = z.infer<typeof ItemOutcome>;

export const CommitRequest = z.strictObject({
  results: z
    .array(z.strictObject({ item: ItemNumber, outcome: ItemOutcome }))
    .check(z.minLength(1), z.maxLength(MAX_COMMIT)),
  /** Fingerprint of the worker, and seconds that its engine spent on these items. */
  worker: z.optional(z.string().check(z.maxLength(64))),
  seconds: z.optional(z.number().check(z.gte(0))),
});
export type CommitRequest = z.infer<typeof CommitRequest>;

/** `attempt` is the same where a worker asks once more, since it has heard nothing: that counts once. */
export const BeginRequest = z.object({
  attempt: z.string().check(z.minLength(1), z.maxLength(64)),
});
export type BeginRequest = z.infer<typeof BeginRequest>;

/** `canceled`: whatever else of this job is in the queue need not be run. */
export const CommitReply = z.object({
  fresh: z.int(),
  duplicates: z.int(),
  state: z.enum(['running', 'canceled', 'ended']),
});
export type CommitReply = z.infer<typeof CommitReply>;

type Job = z.infer<typeof JobId>;
type Part = z.infer<typeof PartNumber>;

/** Where results of a part are committed: POST, signed (`signature.ts`). */
export function commitPath(job: Job, part: Part): string {
  return `/internal/jobs/${job}/parts/${part}/commit`;
}

/**
 * Where a worker says that it runs an item alone, which may have ended others: POST, signed, a `BeginRequest`. 204 lets it; 410 says
 * that the item has ended, or that so many workers have begun it and were not heard of again that it is given up.
 */
export function beginPath(job: Job, part: Part, item: number): string {
  return `/internal/jobs/${job}/parts/${part}/items/${item}/begin`;
}

/**
 * Where the edge gives what an item is about: GET, signed. 200 is one `image` or `embeddings` frame; 410 says that the item has ended
 * meanwhile (canceled, committed by another, or its image cannot be had, which the edge has taken down); 503 is worth another try.
 * Both say in `SOURCE_FAILURES_HEADER` how often it could not be had before, with this time: those tries ended no worker.
 */
export function sourcePath(job: Job, part: Part, item: number): string {
  return `/internal/jobs/${job}/parts/${part}/items/${item}/source`;
}
