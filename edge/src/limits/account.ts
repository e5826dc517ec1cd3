/** The account of one request: what it takes from its caller's limits, and where the caller stands then. */

import { ApiError } from '@blip2/shared/errors';
import type { Verdict } from './caller-limits.ts';
import type { Ask } from './ledger.ts';
import type { Cost, Limits, Policy, Refusal, Standings, Use } from './limits.ts';
import { quotaExceeded } from './refusal.ts';
import type { Refused } from './refusal-memory.ts';

/** What a reply may take to end after its deadline. */
const LEASE_GRACE_MS = 5000;
const NOTHING: Use = { prompt_tokens: 0, completion_tokens: 0, images: 0 };

/** The object of the caller, as one request sees it; null where it did not answer and requests are let in all the same. */
export type CallerObject = {
  admit: (tokens: number) => Promise<Verdict | null>;
  admitMore: (requests: number) => Promise<Verdict | null>;
  check: (cost: Cost) => Promise<Verdict | null>;
  charge: (ask: Ask, id: string) => Promise<Verdict | null>;
  /** Lets the request go on until then, whether or not its client is gone. */
  hold: (ended: Promise<void>) => void;
  /** Does not make its caller wait, and never fails. */
  settle: (id: string | null, actual: Use) => void;
  recall: (policy: Policy, asked: number) => Refused | undefined;
  remember: (refused: Refused) => void;
};

/** Work that was charged for. */
export type Charge = {
  /** To be called once, when the work has ended, however it did. */
  settle: (actual: Use) => void;
};

export type AccountOptions = {
  limits: Limits;
  object: CallerObject;
  /** How errors name the caller. */
  who: 'key' | 'address';
  now: () => number;
};

export class Account {
  readonly #options: AccountOptions;
  #standings: Standings = {};
  #isStream = false;
  /** Taken for work that has not begun. */
  #reserved: (Cost & { charge: Charge }) | undefined;

  constructor(options: AccountOptions) {
    this.#options = options;
  }

  /** Where the caller stood when it was last asked. */
  get standings(): Standings {
    return this.#standings;
  }

  /** Whether images of this caller have a limit. */
  get limitsImages(): boolean {
    return this.#options.limits.images !== null;
  }

  /** From now on the work of this request is a stream: it needs a place among those of its caller. */
  stream(): void {
    this.#isStream = true;
  }

  /**
   * Counts the request.
   * @param tokens what it needs at least, for there to be any sense in it
   * @throws ApiError `quota-exceeded`, `limits-unavailable`
   */
  async admit(tokens: number): Promise<void> {
    this.#recall('requests', 1);
    this.#recall('tokens', tokens);
    this.#obey(await this.#options.object.admit(tokens));
  }

  /**
   * Counts the request, which was admitted as one, as so many more: it does the work of several.
   * @throws ApiError `quota-exceeded`, `limits-unavailable`
   */
  async admitMore(requests: number): Promise<void> {
    if (requests === 0) return;
    // With the one that was admitted.
    if (this.#mayFit('requests', requests + 1)) this.#recall('requests', requests);
    this.#obey(await this.#options.object.admitMore(requests));
  }

  /**
   * Refuses what is too much before anything is done for it. It costs nothing where there was enough when the request
   * was admitted; what it finds enough is not yet taken.
   * @throws ApiError `quota-exceeded`, `limits-unavailable`
   */
  async expect(whole: Cost): Promise<void> {
    const cost = beyond(whole, this.#reserved);
    this.#recallCost(cost);
    const isEnough = (['tokens', 'images'] as const).every(
      (policy) => cost[policy] <= (this.#standings[policy]?.remaining ?? Number.POSITIVE_INFINITY),
    );
    if (!isEnough) this.#obey(await this.#options.object.check(cost));
  }

  /** Asks whether there is so much, and takes nothing. @throws ApiError `quota-exceeded`, `limits-unavailable` */
  async check(cost: Cost): Promise<void> {
    this.#recallCost(cost);
    this.#obey(await this.#options.object.check(cost));
  }

  /**
   * Takes now what work may need that begins later: the next `charge` has it. To be released when no work comes any more.
   * @throws ApiError `quota-exceeded`, `limits-unavailable`
   */
  async reserve(cost: Cost, deadlineAt: number): Promise<void> {
    if (!this.#isCounted(cost)) return;
    const charge = await this.charge(cost, deadlineAt);
    this.#reserved = { ...cost, charge };
  }

  release(): void {
    this.#reserved?.charge.settle(NOTHING);
    this.#reserved = undefined;
  }

  /**
   * Takes what work may need at most.
   * @param deadlineAt when it has ended at the latest, milliseconds since the epoch
   * @throws ApiError `quota-exceeded`, `limits-unavailable`
   */
  async charge(cost: Cost, deadlineAt: number): Promise<Charge> {
    const { object, now } = this.#options;
    if (this.#reserved !== undefined) return await this.#chargeReserved(cost, deadlineAt);
    const isStream = this.#takesPlace;
    if (!this.#isCounted(cost)) return { settle: (actual) => object.settle(null, actual) };
    this.#recallCost(cost);
    const id = crypto.randomUUID();
    const leaseMs = Math.max(0, deadlineAt - now()) + LEASE_GRACE_MS;
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    object.hold(ended);
    const settle = (actual: Use) => {
      object.settle(id, actual);
      end();
    };
    try {
      this.#obey(await object.charge({ ...cost, isStream, leaseMs }, id));
    } catch (thrown) {
      // An object that answered too late may have taken it.
      if (!isRefusal(thrown)) settle(NOTHING);
      end();
      throw thrown;
    }
    return { settle };
  }

  /** Writes down what was used by work that nothing was taken for: it counts in no limit. */
  note(actual: Use): void {
    this.#options.object.settle(null, actual);
  }

  get #takesPlace(): boolean {
    return this.#isStream && this.#options.limits.streams !== null;
  }

  #isCounted({ tokens, images }: Cost): boolean {
    const { limits } = this.#options;
    const isCounted = limits.tokens !== null && tokens > 0;
    return this.#takesPlace || isCounted || (limits.images !== null && images > 0);
  }

  /** What was reserved, and what is needed beyond it; it is reserved again where the work did nothing, since it may be tried again. */
  async #chargeReserved(cost: Cost, deadlineAt: number): Promise<Charge> {
    const reserved = this.#reserved;
    if (reserved === undefined) return await this.charge(cost, deadlineAt);
    this.#reserved = undefined;
    let more: Charge;
    try {
      more = await this.charge(beyond(cost, reserved), deadlineAt);
    } catch (thrown) {
      this.#reserved = reserved;
      throw thrown;
    }
    const settle = (actual: Use) => {
      const images = Math.min(actual.images, reserved.images);
      if (actual.prompt_tokens + actual.completion_tokens + actual.images === 0) {
        this.#reserved = reserved;
      } else {
        reserved.charge.settle({ ...actual, images });
      }
      more.settle({ ...NOTHING, images: actual.images - images });
    };
    return { settle };
  }

  #obey(verdict: Verdict | null): void {
    if (verdict === null) return;
    const { refusal, standings } = verdict;
    this.#standings = standings;
    if (refusal === null) return;
    this.#options.object.remember({ refusal, standings, at: this.#options.now() });
    throw this.#refused(refusal);
  }

  /** What will never be there is not to be waited for, whatever others were told: the object says so. */
  #mayFit(policy: Policy, asked: number): boolean {
    return asked <= (this.#options.limits[policy] ?? Number.POSITIVE_INFINITY);
  }

  #recallCost({ tokens, images }: Cost): void {
    const asked = { tokens, images, streams: this.#takesPlace ? 1 : 0 };
    if (!(['tokens', 'images', 'streams'] as const).every((of) => this.#mayFit(of, asked[of]))) {
      return;
    }
    this.#recall('tokens', tokens);
    this.#recall('images', images);
  }

  #recall(policy: Policy, asked: number): void {
    if (asked === 0) return;
    const known = this.#options.object.recall(policy, asked);
    if (known === undefined) return;
    this.#standings = known.standings;
    throw this.#refused(known.refusal);
  }

  #refused(refusal: Refusal): ApiError {
    const { policy, waitMs } = refusal;
    const standing = this.#standings[policy];
    // The draft wants `t` and `Retry-After` to name the same moment.
    if (standing !== undefined && waitMs !== null) {
      this.#standings = { ...this.#standings, [policy]: { ...standing, moreMs: waitMs } };
    }
    return quotaExceeded(refusal, this.#options.who);
  }
}

/** What is needed beside what was reserved. */
function beyond({ tokens, images }: Cost, reserved: Cost = { tokens: 0, images: 0 }): Cost {
  return {
    tokens: Math.max(0, tokens - reserved.tokens),
    images: Math.max(0, images - reserved.images),
  };
}

function isRefusal(thrown: unknown): boolean {
  return thrown instanceof ApiError && thrown.slug === 'quota-exceeded';
}
