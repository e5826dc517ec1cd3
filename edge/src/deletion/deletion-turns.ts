/**
 * When a caller may delete what is remembered of an image. Its entries are found by lists of KV, which are read from one end to
 * the other where KV is in the process of a local edge: with two million entries that takes a second. So deletions are done one at a
 * time, clients by turns, with a pause for everybody else after each, and those that are too many are refused.
 */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../dependencies.ts';
import type { RequestContext } from '../request-context.ts';
import { BulkReads } from '../turns/bulk-reads.ts';
import { CallerTurns } from '../turns/caller-turns.ts';

const RETRY_AFTER_S = 5;
const REFUSAL = 'Too many images are being deleted: delete the next one later.';
const turns = new CallerTurns({
  ofOne: { times: 1, shortestMs: 20, longestMs: 1000 },
  ofAll: { times: 1, shortestMs: 10, longestMs: 1000 },
  refusal: REFUSAL,
});
const oneAtATime = new BulkReads(1, Date.now, { burst: 1, leaseMs: 5000 });

/**
 * @throws ApiError `too-many-requests`, `overloaded`, and what `remove` throws
 */
export async function inDeletionTurn(
  remove: () => Promise<void>,
  { now }: Pick<Dependencies, 'now'>,
  {
    client = '',
    work,
    signal,
    deadlineAt,
  }: Pick<RequestContext, 'client' | 'work' | 'signal' | 'deadlineAt'>,
): Promise<void> {
  // Whoever waits here keeps nobody else out.
  work?.leave();
  await turns.take(client);
  const inTurn = async () => {
    // Whoever has left, or has a reply, expects no deletion of what is sent from then on.
    if (signal.aborted || now() >= deadlineAt) {
      throw new ApiError('overloaded', REFUSAL, { retry_after: RETRY_AFTER_S });
    }
    const startedAt = Date.now();
    try {
      await remove();
    } finally {
      turns.took(client, Date.now() - startedAt);
    }
  };
  await oneAtATime.run(client, inTurn, { signal });
}
