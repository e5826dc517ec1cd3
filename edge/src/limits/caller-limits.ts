/** The Durable Object that counts what one caller uses: one object for each key, and for each address without one. */
import { DurableObject } from 'cloudflare:workers';
import {
  type Ask,
  admit,
  admitMore,
  charge,
  check,
  type DayUse,
  isEmpty,
  type Ledger,
  newLedger,
  settle,
  standingsOf,
  untilTomorrow,
} from './ledger.ts';
import type { Cost, Limits, Refusal, Standings, Use } from './limits.ts';

/** Whether there was enough, and how much is left. */
export type Verdict = { refusal: Refusal | null; standings: Standings };

/** The name of what is stored, and the version of its form: what has another one is not read. */
const LEDGER = 'ledger/1';
/** After midnight, so that the day is over on every clock. */
const MARGIN_MS = 60_000;
/** How long a change may wait for its being written: what a machine that fails forgets at most. */
const WRITE_MS = 1000;

export class CallerLimits extends DurableObject {
  /** Tests set another. */
  readonly clock = { now: () => Date.now() };
  #ledger: Ledger;
  /** When the alarm goes off, once that is known; milliseconds since the epoch. */
  #alarmAt: number | null = null;
  /** Runs while there are changes that are not written. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#ledger = ctx.storage.kv.get<Ledger>(LEDGER) ?? newLedger(this.clock.now());
  }

  /** Counts a request. @param tokens what it needs at least; nothing is taken for them */
  async admit(limits: Limits, tokens: number, retainDays: number): Promise<Verdict> {
    this.#ledger.retainDays = retainDays;
    return this.#decide(limits, (now) => admit(this.#ledger, limits, tokens, now));
  }

  /** Counts a request that was admitted as so many more. */
  async admitMore(limits: Limits, requests: number): Promise<Verdict> {
    return this.#decide(limits, (now) => admitMore(this.#ledger, limits, requests, now));
  }

  /** Whether there is so much; nothing is taken. */
  async check(limits: Limits, cost: Cost): Promise<Verdict> {
    return this.#decide(limits, (now) => check(this.#ledger, limits, cost, now));
  }

  /** Takes what work may need at most, under an id that settles it. */
  async charge(limits: Limits, ask: Ask, id: string): Promise<Verdict> {
    return this.#decide(limits, (now) => charge(this.#ledger, limits, ask, id, now));
  }

  /** Ends what was charged under that id, or writes the use down where nothing was. */
  async settle(id: string | null, actual: Use): Promise<void> {
    settle(this.#ledger, id, actual, this.clock.now());
    this.#changed();
  }

  /** What was used by day, the latest first, and where the caller stands. */
  async usage(limits: Limits): Promise<{ days: DayUse[]; standings: Standings }> {
    const standings = standingsOf(this.#ledger, limits, this.clock.now());
    return { days: this.#ledger.days.toReversed(), standings };
  }

  /** Every night: an object of which nothing has to be remembered leaves nothing behind. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    if (!isEmpty(this.#ledger, this.clock.now())) {
      await this.flush();
      return;
    }
    await this.ctx.storage.deleteAll();
    this.#ledger = newLedger(this.clock.now());
  }

  /** Writes everything down that has changed. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { storage } = this.ctx;
    const written = storage.put(LEDGER, this.#ledger, { allowUnconfirmed: true });
    this.#alarmAt ??= await storage.getAlarm();
    const now = this.clock.now();
    if (this.#alarmAt === null || this.#alarmAt <= now) {
      this.#alarmAt = now + untilTomorrow(now) + MARGIN_MS;
      await storage.setAlarm(this.#alarmAt, { allowUnconfirmed: true });
    }
    await written;
  }

  #decide(limits: Limits, decide: (now: number) => Refusal | null): Verdict {
    const now = this.clock.now();
    const refusal = decide(now);
    // A refusal changes nothing: who hammers on costs no write.
    if (refusal === null) this.#changed();
    return { refusal, standings: standingsOf(this.#ledger, limits, now) };
  }

  /** The object counts in memory: a disk may take longer than all else of a request. */
  #changed(): void {
    this.#timer ??= setTimeout(() => void this.flush(), WRITE_MS);
  }
}
