/** Opens a job: a place among those of its owner, its input in the bucket, and the object that runs it. */
import type { Dependencies } from '../../dependencies.ts';
import { type JobInput, type JobOrder, type JobSnapshot, jobPrefix } from '../../jobs/contract.ts';
import type { JobRoom } from '../../jobs/job-index-contract.ts';
import { valueFrom } from '../../predictions/contract.ts';
import { newId } from '../../predictions/ids.ts';
import { jobAt, jobsOf } from './job-access.ts';
import { openingTurns } from './opening-turns.ts';
import { bucketOf, type Owner } from './owner.ts';

/** Under which a job remembers when it is deleted. */
export const DELETE_AT = 'delete_at';

/** @property inputKey where its items are put, where they are in no file of their own */
export type NewJob = { id: string; inputKey: string };

type Store = (job: NewJob) => Promise<JobInput>;

/**
 * @param store puts the items where they belong, and says where that is
 * @param storedMs how long it is stored after it has expired at the latest, milliseconds
 * @throws ApiError `storage-full`, `jobs-unavailable`, and what `store` throws: then there is no job
 */
export async function openJob(
  deps: Dependencies,
  owner: Owner,
  order: Omit<JobOrder, 'input' | 'owner'>,
  { store, storedMs, room }: { store: Store; storedMs: number; room: JobRoom },
): Promise<JobSnapshot> {
  const object = jobsOf(deps).newUniqueId();
  const id = newId(object);
  const inputKey = `${jobPrefix(owner.id, id)}input.jsonl`;
  const deleteAt = order.expiresAt + storedMs;
  const createdAt = deps.now();
  valueFrom(await owner.index.addJob({ id, kind: order.kind, createdAt, deleteAt }, room));
  try {
    const input = await store({ id, inputKey });
    const storedAt = deps.now();
    const created = await jobAt(deps, object).create(id, {
      ...order,
      owner: owner.id,
      input,
      extra: { ...order.extra, [DELETE_AT]: deleteAt },
    });
    openingTurns.took(owner.id, deps.now() - storedAt);
    return valueFrom(created);
  } catch (thrown) {
    await bucketOf(deps).delete(inputKey);
    await owner.index.removeJob(id);
    throw thrown;
  }
}
