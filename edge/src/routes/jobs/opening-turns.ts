/**
 * When a caller may open a job. To open one wakes several objects, each with a database of its own: dearer than an answer, and
 * most of it happens when the reply is there. So the jobs of one caller begin one after the other, and those of all
 * callers of an isolate leave half of the time to other requests.
 */
import { CallerTurns } from '../../turns/caller-turns.ts';
import type { AppContext } from '../app-context.ts';

/** A job takes some times as long as its creation, of which a machine of its own that is busy with many jobs shows nothing. */
export const OPENING = {
  ofOne: { times: 8, shortestMs: 250, longestMs: 1000 },
  ofAll: { times: 2, shortestMs: 100, longestMs: 250 },
  refusal:
    'Too many jobs are being created: create the next one later, and put many items into one job.',
};

/** Of this isolate. */
export const openingTurns = new CallerTurns(OPENING);

/** JSON that is checked before it waits: many such bodies may be in memory. */
const SMALL_BYTES = 2 ** 16;

/**
 * Takes the turn of an owner. That of all is taken by what it returns, once the request has been checked: what is wrong takes none from
 * others. A larger body has to wait for both before it is read.
 * @throws ApiError `too-many-requests`, `overloaded`
 * @example
 * const takeTurn = await beginOpening(c, ownerOf(c, deps).id);
 * const request = validate(JobRequest, await readJsonObject(c.req.raw, limits));
 * await takeTurn();
 */
export async function beginOpening(c: AppContext, owner: string): Promise<() => Promise<void>> {
  await openingTurns.takeOwn(owner);
  const declared = Number(c.req.header('content-length') ?? Number.NaN);
  const takeAll = () => openingTurns.takeAll(owner);
  // What comes of a compressed body may be any size.
  const isSmall = declared <= SMALL_BYTES && c.req.header('content-encoding') === undefined;
  if (c.req.raw.body === null || isSmall) return takeAll;
  await takeAll();
  return async () => {};
}
