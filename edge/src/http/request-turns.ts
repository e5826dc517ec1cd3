/** The turns of one request: what it costs is added up, so that pieces each of which is just cheap are dear together. */
import type { Config } from '../config.ts';
import type { RequestContext } from '../request-context.ts';
import { dearWork } from '../turns/dear-work.ts';
import { type WorkPlace, waitOutside } from '../work-in-hand.ts';
import type { BodyCost } from './body-costs.ts';
import { WholeRequest } from './whole-request.ts';

/** Part of the deadline that a body may wait for its turns. */
const WAITING = 2 / 3;
/** One that came slowly may wait so long in any case, for each of its turns. */
const SHORTEST_WAIT_MS = 5000;
/** Before it is inflated, looked at, parsed, and made tokens of. */
const MOST_TURNS = 4;

/** How long a body may be held, milliseconds: until its deadline, and its turns after that. */
export const longestHeld = (deadlineMs: number): number =>
  deadlineMs + MOST_TURNS * SHORTEST_WAIT_MS;

export type TurnLimits = Pick<Config, 'deadlineMs'> & {
  /** Who sends it. */
  client: string;
  /** Its place, left while it waits. */
  work?: WorkPlace;
  waitUntil: RequestContext['waitUntil'];
  /** What was done for it without a turn until now, milliseconds. */
  claimedMs?: number;
};

export class RequestTurns {
  readonly #request: Request;
  readonly #limits: TurnLimits;
  readonly #startedAt = Date.now();
  #claimedMs: number;

  constructor(request: Request, limits: TurnLimits) {
    this.#request = request;
    this.#limits = limits;
    this.#claimedMs = limits.claimedMs ?? 0;
  }

  /** What was done without a turn, or since the last one, milliseconds. */
  get claimedMs(): number {
    return this.#claimedMs;
  }

  /**
   * Resolves when a piece of work may be done.
   * @param since when what it is part of began, milliseconds since the epoch: turns of one kind wait as long together as one
   * @throws as `DearWork.turn`
   */
  async before({ ms: cost, remedy }: BodyCost, since = Date.now()): Promise<void> {
    // Of an item of a job: objects may not wait for one another.
    if (this.#request instanceof WholeRequest) return;
    const { client, work, waitUntil } = this.#limits;
    const ms = this.#claimedMs + cost;
    if (dearWork.passes(client, ms, cost)) {
      this.#claimedMs += cost;
      return;
    }
    const longestMs = this.longestMs(since);
    const { signal } = this.#request;
    await waitOutside(work, dearWork.turn(client, ms, { waitUntil, signal, longestMs, remedy }));
    this.#claimedMs = 0;
  }
  /** How long it may wait for a turn, milliseconds. @param since as of `before` */
  longestMs(since = Date.now()): number {
    const now = Date.now();
    // What is asked for has to be done as well before the deadline.
    const left = WAITING * this.#limits.deadlineMs - (now - this.#startedAt);
    return Math.max(left, SHORTEST_WAIT_MS - (now - since), 0);
  }
}
