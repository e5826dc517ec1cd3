/** Items are rehearsed by turns of all objects of an isolate: each piece reads caches many times, and writes results. */
import { sharedTurns } from '../turns/shared-turns.ts';

/** From the beginning of one piece to that of the next, milliseconds. */
const APART_MS = 10;

/** @property characters of the results that it comes to */
export type Rehearsal<T> = { value: T; characters: number };

/**
 * Everybody else's requests come before it and after it.
 * @param owner whose items these are
 * @param characters of what it reads
 */
export async function inTurn<T>(
  owner: string,
  characters: number,
  work: () => Promise<Rehearsal<T>>,
): Promise<T> {
  const turn = await sharedTurns.take(owner);
  let written = 0;
  try {
    const { value, characters: results } = await work();
    written = results;
    return value;
  } finally {
    await turn.end(characters + written, APART_MS);
  }
}
