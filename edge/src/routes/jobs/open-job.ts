/** Opens a job: a place among those of its owner, its input in the bucket, and the object that runs it. */
import { ApiError } from '@blip2/shared/errors';
import { type TraceContext, traceparentOf } from '@blip2/shared/traceparent';
import type { Dependencies } from '../../dependencies.ts';
import {
  inputKey as inputKeyOf,
  type JobInput,
  type JobOrder,
  type JobSnapshot,
} from '../../jobs/contract.ts';
import type { JobRoom } from '../../jobs/job-index-contract.ts';
import { withLivingPlace } from '../../jobs/living-place.ts';
import { valueFrom } from '../../predictions/contract.ts';
import { newId } from '../../predictions/ids.ts';
import { contextToSend, inSpan } from '../../tracing.ts';
import { jobAt, jobsOf } from './job-access.ts';
import { openingTurns } from './opening-turns.ts';
import { bucketOf, type Owner } from './owner.ts';

/** Under which a job remembers when it is deleted. */
export const DELETE_AT = 'delete_at';

/** @property inputKey where its items are put, where they are in no file of their own */
export type NewJob = { id: string; inputKey: string };

type Store = (job: NewJob) => Promise<JobInput>;

type Opening = {
  /** Puts the items where they belong, and says where that is. */
  store: Store;
  /** How long it is stored after it has expired at the latest, milliseconds. */
  storedMs: number;
  room: JobRoom;
  /** The job whose items it runs again, or the file that it reads. */
  reads?: string;
  /** The trace that its creator has begun, where there is one: spans of its items name it. */
  trace: TraceContext | undefined;
};

type Order = Omit<JobOrder, 'input' | 'owner'>;

/**
 * @throws ApiError `storage-full`, `jobs-unavailable`, and what `store` throws: then there is no job
 */
export async function openJob(
  deps: Dependencies,
  owner: Owner,
  order: Order,
  opening: Opening,
): Promise<JobSnapshot> {
  return await inSpan('open job', async (span) => {
    const trace = contextToSend(span, opening.trace);
    // Another job's order may have one of its own.
    const { traceparent: _before, ...untraced } = order;
    const traced = { ...untraced, ...(trace.isSampled && { traceparent: traceparentOf(trace) }) };
    return await open(deps, owner, traced, opening);
  });
}

async function open(
  deps: Dependencies,
  owner: Owner,
  order: Order,
  { store, storedMs, room, reads }: Opening,
): Promise<JobSnapshot> {
  const object = jobsOf(deps).newUniqueId();
  const id = newId(object);
  const inputKey = inputKeyOf(owner.id, id);
  const deleteAt = order.expiresAt + storedMs;
  const createdAt = deps.now();
  const job = { id, kind: order.kind, createdAt, deleteAt, ...(reads && { reads }) };
  valueFrom(await owner.index.addJob(job, room));
  let input: JobInput;
  let storedAt: number;
  try {
    input = await withLivingPlace(
      () => owner.index.renewJob(id),
      () => store({ id, inputKey }),
    );
    storedAt = deps.now();
    // A job that is in no list would never be deleted.
    if (!(await owner.index.hasJob(id))) throw gone();
  } catch (thrown) {
    // Where this is not reached, since the client is gone, or fails, the place goes by itself.
    await bucketOf(deps).delete(inputKey);
    await owner.index.removeJob(id);
    throw thrown;
  }
  const foundAt = deps.now();
  try {
    const extra = { ...order.extra, [DELETE_AT]: deleteAt };
    const whole = { ...order, owner: owner.id, input, extra };
    const created = await jobAt(deps, object).create(id, whole, storedAt);
    openingTurns.took(owner.id, deps.now() - foundAt);
    return valueFrom(created);
  } catch (thrown) {
    // Its creator has no id of it, and it may be there all the same.
    await owner.index.dropJob(id);
    throw thrown;
  }
}

function gone(): ApiError {
  const detail =
    'The place of this job is gone, since its lines took too long to come: send them faster, or as a file.';
  return new ApiError('deadline-exceeded', detail);
}
