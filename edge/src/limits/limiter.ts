/** Opens the account of each request: finds the object of its caller, and says what happens when that does not answer. */
import { ApiError } from '@blip2/shared/errors';
import type { Config } from '../config.ts';
import type { Caller } from '../keys/authenticate.ts';
import { logWarning } from '../log.ts';
import { within } from '../within.ts';
import { Account, type CallerObject } from './account.ts';
import type { CallerLimits, Verdict } from './caller-limits.ts';
import type { DayUse } from './ledger.ts';
import { isLimited, type Limits, limitsOf, type Standings } from './limits.ts';
import { RefusalMemory } from './refusal-memory.ts';

export type CallerObjects = DurableObjectNamespace<CallerLimits>;

export type LimiterOptions = {
  /** None where nothing is bound: then nobody may have limits. */
  objects: CallerObjects | undefined;
  config: Config;
  now: () => number;
};

/** Who sends a request, and how it continues after the reply. */
export type Sender = {
  caller: Caller | null;
  /** The address of whoever has no key. */
  address: string;
  requestId: string;
  waitUntil: (work: Promise<unknown>) => void;
};

export type CallerUsage = { limits: Limits; standings: Standings; days: DayUse[] };

/** Days of use that are remembered of a key; of an address, the present one. */
const KEY_DAYS = 31;
const ADDRESS_DAYS = 1;
const RETRY_SECONDS = 1;

export class Limiter {
  readonly #options: LimiterOptions;
  readonly #refusals = new RefusalMemory();

  constructor(options: LimiterOptions) {
    this.#options = options;
  }

  /**
   * The account of a request. Whoever has limits waits for the object that counts; the use of a key without limits is
   * written down meanwhile, and an address without limits is not counted at all.
   * @returns undefined where nothing is counted
   * @throws ApiError `not-configured`
   */
  open(sender: Sender): Account | undefined {
    const { objects, config, now } = this.#options;
    const { caller } = sender;
    const limits = limitsOf(caller, config);
    const hasLimits = isLimited(limits);
    if (objects === undefined) {
      if (hasLimits) throw notConfigured();
      return undefined;
    }
    if (!hasLimits && caller === null) return undefined;
    const object = this.#objectOf(objects, sender, limits);
    return new Account({ limits, object, who: caller === null ? 'address' : 'key', now });
  }

  /** @throws ApiError `limits-unavailable`; `not-configured` where a key has no object that would count */
  async usage(sender: Sender): Promise<CallerUsage> {
    const { objects, config } = this.#options;
    const { caller } = sender;
    const limits = limitsOf(caller, config);
    if (caller === null && !isLimited(limits)) return { limits, standings: {}, days: [] };
    if (objects === undefined) throw notConfigured();
    const stub = objects.getByName(nameOf(sender));
    return { limits, ...(await this.#soon(stub.usage(limits), sender)) };
  }

  #objectOf(objects: CallerObjects, sender: Sender, limits: Limits): CallerObject {
    const { now } = this.#options;
    const name = nameOf(sender);
    const stub = objects.getByName(name);
    const days = sender.caller === null ? ADDRESS_DAYS : KEY_DAYS;
    const verdict = (decided: Promise<Verdict>) => this.#verdict(decided, sender);
    return {
      admit: async (tokens) => {
        const admitted = verdict(stub.admit(limits, tokens, days));
        if (isLimited(limits)) return await admitted;
        sender.waitUntil(admitted.catch(() => {}));
        return null;
      },
      admitMore: async (requests) => {
        const admitted = verdict(stub.admitMore(limits, requests));
        if (limits.requests !== null) return await admitted;
        sender.waitUntil(admitted.catch(() => {}));
        return null;
      },
      check: (cost) => verdict(stub.check(limits, cost)),
      charge: (ask, id) => verdict(stub.charge(limits, ask, id)),
      hold: sender.waitUntil,
      settle: (id, actual) => {
        sender.waitUntil(this.#soon(stub.settle(id, actual), sender).catch(() => {}));
      },
      recall: (policy, asked) => {
        return this.#refusals.find(name, policy, asked, limits[policy] ?? 0, now());
      },
      remember: (refused) => this.#refusals.put(name, refused),
    };
  }

  async #verdict(decided: Promise<Verdict>, sender: Sender): Promise<Verdict | null> {
    if (!this.#options.config.limitsFailOpen) return await this.#soon(decided, sender);
    return await this.#soon(decided, sender).catch(() => null);
  }

  /** @throws ApiError `limits-unavailable` */
  async #soon<T>(work: Promise<T>, { requestId: request_id }: Sender): Promise<T> {
    const { cacheTimeoutMs, deadlineMs } = this.#options.config;
    try {
      return await within(Math.min(cacheTimeoutMs, deadlineMs), work, 'the object of a caller');
    } catch (cause) {
      logWarning('limits-failure', { request_id, error: String(cause) });
      const detail = 'Limits cannot be looked up at the moment; try again.';
      throw new ApiError('limits-unavailable', detail, { cause, retry_after: RETRY_SECONDS });
    }
  }
}

/** The name of the object of a caller: the hash of a key, or an address. */
function nameOf({ caller, address }: Sender): string {
  return caller?.id ?? `address/${address}`;
}

function notConfigured(): ApiError {
  return new ApiError(
    'not-configured',
    'This deployment has limits, and nothing that counts: bind the Durable Object class CallerLimits as LIMITS (see wrangler.toml), or set the limits to none.',
  );
}
