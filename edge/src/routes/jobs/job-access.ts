/** Finds the job, or the batch, that a request names: those of others are not found. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../../dependencies.ts';
import { ID_PREFIXES, type JobObject, type JobSnapshot } from '../../jobs/contract.ts';
import type { IndexPage, JobKind, ListedJob, PageOrder } from '../../jobs/job-index-contract.ts';
import type { ResultStores } from '../../jobs/read-results.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import { settlingObject, settlingObjects } from '../../settling.ts';
import { bulkReads } from '../../turns/bulk-reads.ts';
import { type AppContext, clientIn, type IsThere } from '../app-context.ts';
import { isFor, mayList, ownerOf } from './owner.ts';

/** Of a page: where those that were asked for have more, the rest is on the next. */
const MAX_PAGE_CHARACTERS = 2 ** 17;
/** Jobs of a page that are asked how they are. */
const ASKED_TOGETHER = 4;

export type FoundJob = { id: string; job: JobObject; snapshot: JobSnapshot };

/** @throws ApiError `not-found` */
export async function jobOf(
  c: AppContext,
  deps: Dependencies,
  kind: JobKind,
  shownId: string,
): Promise<FoundJob> {
  const found = await findJob(c, deps, kind, shownId);
  if (found !== null) return found;
  const paths = { job: '/v1/jobs', batch: '/v1/batches' };
  const detail = `There is no such ${kind}: it was deleted, or its key is another. GET ${paths[kind]} lists those of a key.`;
  throw new ApiError('not-found', detail);
}

export const hasJob: IsThere = async (c, deps, id) => (await findJob(c, deps, 'job', id)) !== null;

/** @returns null where there is none of this kind for this caller */
export async function findJob(
  c: AppContext,
  deps: Dependencies,
  kind: JobKind,
  shownId: string,
): Promise<FoundJob | null> {
  const prefix = ID_PREFIXES[kind];
  const id = shownId.startsWith(prefix) ? shownId.slice(prefix.length) : '';
  const named = objectIdOf(jobsOf(deps), id);
  if (named === null) return null;
  const job = jobAt(deps, named);
  const snapshot = await job.snapshot(id);
  if (snapshot?.order.kind !== kind || !isFor(c, deps, snapshot.order.owner)) return null;
  return { id, job, snapshot };
}

/** A page of the caller's own, each as it is now. @throws ApiError `invalid-request` */
export async function listJobs(
  c: AppContext,
  deps: Dependencies,
  kind: JobKind,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<IndexPage<JobSnapshot>> {
  const namespace = jobsOf(deps);
  const owner = ownerOf(c, deps);
  const page: PageOrder = {
    after: after?.replace(ID_PREFIXES[kind], '') ?? null,
    limit,
    oldestFirst: false,
  };
  if (!mayList(c, deps)) return { entries: [], hasMore: false };
  for (let isFurther = false; ; isFurther = true) {
    const found = await owner.index.listJobs(kind, page);
    // That from which it was to go on has just gone.
    if (found === null && isFurther) return { entries: [], hasMore: false };
    if (found === null) {
      throw new ApiError('invalid-request', `after: is no ${kind} of yours.`, { field: 'after' });
    }
    const shown = await snapshotsOf(c, deps, namespace, found);
    // Of some there is nothing to show, as of those that are being created: the last of an empty page would lead nobody on.
    const last = found.entries.at(-1);
    if (shown.entries.length > 0 || !found.hasMore || last === undefined) return shown;
    page.after = last.id;
  }
}

/** By turns: a page is a hundred reads for some bytes. */
async function snapshotsOf(
  c: AppContext,
  deps: Dependencies,
  namespace: DurableObjectNamespace,
  found: IndexPage<ListedJob>,
): Promise<IndexPage<JobSnapshot>> {
  const entries: JobSnapshot[] = [];
  const client = clientIn(c, deps.config);
  const bounds = { signal: c.req.raw.signal, longestMs: deps.config.deadlineMs };
  let characters = 0;
  for (let from = 0; from < found.entries.length; from += ASKED_TOGETHER) {
    // A job may have a hundred errors, and metadata of 50,000 characters: a hundred such would be tens of megabytes.
    if (characters > MAX_PAGE_CHARACTERS) return { entries, hasMore: true };
    const some = found.entries.slice(from, from + ASKED_TOGETHER).map(async ({ id }) => {
      const named = objectIdOf(namespace, id);
      if (named === null) return null;
      return await bulkReads.run(client, () => jobAt(deps, named).snapshot(id), bounds);
    });
    for (const snapshot of await Promise.all(some)) {
      if (snapshot === null) continue;
      entries.push(snapshot);
      characters += JSON.stringify(snapshot).length;
    }
  }
  return { entries, hasMore: found.hasMore };
}

export function jobAt(deps: Dependencies, id: DurableObjectId): JobObject {
  const job = jobsOf(deps).get(id) as unknown as JobObject;
  return settlingObject(job, deps.config.deadlineMs);
}

/** @throws ApiError `jobs-unavailable` */
export function jobsOf({ jobs }: Dependencies): DurableObjectNamespace {
  return jobs ?? unavailable();
}

/** @throws ApiError `jobs-unavailable` */
export function jobPartsOf({ jobParts, config }: Dependencies): ResultStores['parts'] {
  return settlingObjects(jobParts ?? unavailable(), config.deadlineMs);
}

function unavailable(): never {
  const detail = 'This deployment runs no jobs: the operator has configured no queue for them.';
  throw new ApiError('jobs-unavailable', detail);
}
