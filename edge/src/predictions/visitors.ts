/**
 * Who reads by a signed URL: whoever has it, and nobody knows who that is. So those whose address is not that of its maker have
 * places and a rate of their own: they keep nobody else from it, and get no more of it than that.
 */
import { ApiError } from '@blip2/shared/errors';
import { type Place, Places } from '../turns/places.ts';

/** Open at a time, of one URL. */
const MAKER_OPEN = 32;
const OTHERS_OPEN = 32;
/** Of them, those of one address. */
const EACH_OPEN = 8;
/** Times that one URL may be opened in a minute. */
const MAKER_A_MINUTE = 600;
const OTHERS_A_MINUTE = 120;
const MINUTE_MS = 60_000;
const RETRY_AFTER_S = 1;

type Group = { open: Places; since: number; opened: number };

export class Visitors {
  /** By id of what the URL names, and `maker` or `others`. */
  readonly #groups = new Map<string, Group>();
  readonly #now: () => number;

  /** @param now milliseconds since the epoch */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /**
   * @param visitor its address, and whether it is that of who made what the URL names
   * @returns to be left when it has left
   * @throws ApiError `too-many-requests`
   */
  enter(id: string, { address, isMaker }: { address: string; isMaker: boolean }): Place {
    const now = this.#now();
    this.#forget(now);
    const key = `${isMaker ? 'maker' : 'others'} ${id}`;
    const group = this.#groups.get(key) ?? { open: new Places(this.#now), since: now, opened: 0 };
    const [atATime, aMinute] = isMaker
      ? [MAKER_OPEN, MAKER_A_MINUTE]
      : [OTHERS_OPEN, OTHERS_A_MINUTE];
    const own = group.open.count(address);
    const all = group.open.count();
    if (all >= atATime) throw tooMany(`${atATime} readers have this URL open`, atATime);
    if (!isMaker && own >= EACH_OPEN) {
      throw tooMany(`${EACH_OPEN} readers of your address have this URL open`, EACH_OPEN);
    }
    if (group.opened >= aMinute) throw tooMany(`This URL was opened ${aMinute} times`, aMinute);
    this.#groups.set(key, group);
    group.opened++;
    return group.open.take({ client: address });
  }

  #forget(now: number): void {
    for (const [key, group] of this.#groups) {
      // The clock may have been set back.
      if (now - group.since < MINUTE_MS && now >= group.since) continue;
      group.since = now;
      group.opened = 0;
      if (group.open.count() === 0) this.#groups.delete(key);
    }
  }
}

function tooMany(what: string, limit: number): ApiError {
  const detail = `${what}: close one of them, or wait a minute.`;
  return new ApiError('too-many-requests', detail, { limit, retry_after: RETRY_AFTER_S });
}
