/** The Durable Object that counts what one caller uses: one object for each key, and for each address without one. */
import { DurableObject } from 'cloudflare:workers';
import {
  type Ask,
  admit,
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

export class CallerLimits extends DurableObject {
  /** Tests set another. */
  readonly clock = { now: () => Date.now() };
  #ledger: Ledger;
  /** When the alarm goes off, once that is known; milliseconds since the epoch. */
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#ledger = ctx.storage.kv.get<Ledger>(LEDGER) ?? newLedger(this.clock.now());
  }

  /** Counts a request. @param tokens what it needs at least; nothing is taken for them */
  async admit(limits: Limits, tokens: number, retainDays: number): Promise<Verdict> {
    this.#ledger.retainDays = retainDays;
    return await this.#decide(limits, (now) => admit(this.#ledger, limits, tokens, now));
  }

  /** Whether there is so much; nothing is taken. */
  async check(limits: Limits, cost: Cost): Promise<Verdict> {
    return await this.#decide(limits, (now) => check(this.#ledger, limits, cost, now));
  }

  /** Takes what work may need at most, under an id that settles it. */
  async charge(limits: Limits, ask: Ask, id: string): Promise<Verdict> {
    return await this.#decide(limits, (now) => charge(this.#ledger, limits, ask, id, now));
  }

  /** Ends what was charged under that id, or writes the use down where nothing was. */
  async settle(id: string | null, actual: Use): Promise<void> {
    settle(this.#ledger, id, actual, this.clock.now());
    await this.#store();
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
      await this.#store();
      return;
    }
    await this.ctx.storage.deleteAll();
    this.#ledger = newLedger(this.clock.now());
  }

  async #decide(limits: Limits, decide: (now: number) => Refusal | null): Promise<Verdict> {
    const now = this.clock.now();
    const refusal = decide(now);
    // A refusal changes nothing: who hammers on costs no write.
    if (refusal === null) await this.#store();
    return { refusal, standings: standingsOf(this.#ledger, limits, now) };
  }

  /** The reply does not wait for the disk: a machine that fails within these milliseconds forgives a request. */
  async #store(): Promise<void> {
    const { storage } = this.ctx;
    storage.put(LEDGER, this.#ledger, { allowUnconfirmed: true }).catch(() => {});
    this.#alarmAt ??= await storage.getAlarm();
    const now = this.clock.now();
    if (this.#alarmAt !== null && this.#alarmAt > now) return;
    this.#alarmAt = now + untilTomorrow(now) + MARGIN_MS;
    await storage.setAlarm(this.#alarmAt, { allowUnconfirmed: true });
  }
}
