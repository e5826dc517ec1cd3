/**
 * When a caller may open a job. To open one wakes several objects, each with a database of its own: dearer than an answer, and
 * most of it happens when the reply is there. So the jobs of one caller begin one after the other, and those of all
 * callers of an isolate leave half of the time to other requests.
 */
import { CallerTurns } from '../../turns/caller-turns.ts';

/** A job takes some times as long as its creation, of which a machine of its own that is busy with many jobs shows nothing. */
export const OPENING = {
  ofOne: { times: 8, shortestMs: 250, longestMs: 1000 },
  ofAll: { times: 2, shortestMs: 100, longestMs: 250 },
  refusal:
    'Too many jobs are being created: create the next one later, and put many items into one job.',
};

/** Of this isolate. */
export const openingTurns = new CallerTurns(OPENING);
