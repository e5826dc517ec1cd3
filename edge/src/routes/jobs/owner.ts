/** Whose files and jobs a request may ask for: those of its caller, or where no key is needed those that an id names. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../../dependencies.ts';
import { clientOf } from '../../http/client-address.ts';
import type { JobOrder } from '../../jobs/contract.ts';
import { type JobIndexObject, type JobRoom, ROOM_OF } from '../../jobs/job-index-contract.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import { settlingBucket, settlingObject } from '../../settling.ts';
import type { AppContext } from '../app-context.ts';

/** An owner, under the 64 hexadecimal digits that stand in its ids and in front of its keys in the bucket. */
export type Owner = { id: string; index: JobIndexObject };

/** The owner that a caller is: a tenant, a key, or an address. @throws ApiError `not-configured` */
export function ownerOf(c: AppContext, deps: Dependencies): Owner {
  return ownerAt(deps, indexesOf(deps).idFromName(nameOf(c, deps)));
}

/**
 * The owner of a file by its id. With a key it must be the caller. Where none is needed an address is shared by many and
 * changes: there, whoever has the id may ask.
 * @returns null where the id is none, or is not for this caller
 */
export function ownerOfFile(c: AppContext, deps: Dependencies, id: string): Owner | null {
  const named = objectIdOf(indexesOf(deps), id);
  return named !== null && isFor(c, deps, named.toString()) ? ownerAt(deps, named) : null;
}

/** The owner that a job names. */
export function ownerNamed(deps: Dependencies, id: string): Owner {
  return ownerAt(deps, indexesOf(deps).idFromString(id));
}

/** Whether a caller may ask for what an owner has, of which it has the id. */
export function isFor(c: AppContext, deps: Dependencies, owner: string): boolean {
  return (c.get('caller') ?? null) === null || ownerOf(c, deps).id === owner;
}

/** Nobody may list what others sent from the same address, unless the operator says that all are one. */
export function mayList(c: AppContext, { config }: Dependencies): boolean {
  return (c.get('caller') ?? null) !== null || config.clientAddressHeader === null;
}

const DAY_MS = 86_400_000;
/** Whose limits the items of a job count in. */
export function jobSender(c: AppContext, { config }: Dependencies): JobOrder['sender'] {
  return { caller: c.get('caller') ?? null, address: clientOf(c.req.raw.headers, config) };
}

/** How long something is stored, milliseconds: of whoever can have any number of addresses, a day at most. */
export function storedMsOf(c: AppContext, deps: Dependencies, askedMs: number): number {
  return mayList(c, deps) ? askedMs : Math.min(askedMs, DAY_MS);
}

/** How many jobs are stored of whoever creates one. */
export function roomOf(c: AppContext, deps: Dependencies): JobRoom {
  if ((c.get('caller') ?? null) !== null) return ROOM_OF.key;
  return mayList(c, deps) ? ROOM_OF.all : ROOM_OF.address;
}

/** Whether the owner of a job is a key or a tenant, whoever has tried it again since: beside keys, whoever has its id may. */
export function isOfKey({
  sender,
  isOfKey = false,
}: Pick<JobOrder, 'sender' | 'isOfKey'>): boolean {
  return sender.caller !== null || isOfKey;
}

function nameOf(c: AppContext, { config }: Dependencies): string {
  const caller = c.get('caller') ?? null;
  if (caller === null) return `address/${clientOf(c.req.raw.headers, config)}`;
  return caller.namespace === '' ? caller.id : `namespace/${caller.namespace}`;
}

function ownerAt(deps: Dependencies, id: DurableObjectId): Owner {
  const index = indexesOf(deps).get(id) as unknown as JobIndexObject;
  return { id: id.toString(), index: settlingObject(index, deps.config.deadlineMs) };
}

function indexesOf({ jobIndex }: Dependencies): DurableObjectNamespace {
  if (jobIndex !== undefined) return jobIndex;
  throw new ApiError(
    'not-configured',
    'This deployment stores no files and runs no jobs: bind the Durable Object class JobIndex as JOB_INDEX, with its migration, as wrangler.toml of the repository does.',
  );
}

/** The bucket of files and results. @throws ApiError `not-configured` */
export function bucketOf({ jobFiles, config }: Dependencies): R2Bucket {
  if (jobFiles !== undefined) return settlingBucket(jobFiles, config.deadlineMs);
  throw new ApiError(
    'not-configured',
    'This deployment stores no files: bind a bucket of R2 as JOB_FILES, as wrangler.toml of the repository does.',
  );
}
