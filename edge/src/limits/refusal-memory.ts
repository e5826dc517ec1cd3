/** Refusals that this isolate remembers until they end: who hammers on is refused without being counted. */
import type { Policy, Refusal, Standings } from './limits.ts';

const MAX_ENTRIES = 1024;

/** A refusal, and where the caller stood; `at` is milliseconds since the epoch. */
export type Refused = { refusal: Refusal; standings: Standings; at: number };

export class RefusalMemory {
  /** The latest at the end. */
  readonly #entries = new Map<string, Refused>();

  /** Nothing is remembered that ends never, or at any moment. */
  put(name: string, refused: Refused): void {
    const { policy, waitMs, maySooner } = refused.refusal;
    if (maySooner || waitMs === null) return;
    const key = keyOf(name, policy);
    this.#entries.delete(key);
    this.#entries.set(key, refused);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) break;
      this.#entries.delete(oldest);
    }
  }

  /** The refusal of so much as it stands now; undefined where nobody knows of one. */
  find(
    name: string,
    policy: Policy,
    asked: number,
    limit: number,
    now: number,
  ): Refused | undefined {
    const known = this.#entries.get(keyOf(name, policy));
    if (known === undefined || asked < known.refusal.asked) return undefined;
    const elapsed = now - known.at;
    const waitMs = (known.refusal.waitMs ?? 0) - elapsed;
    // The clock may have been set back, and the key may have got another limit.
    if (elapsed < 0 || waitMs <= 0 || known.refusal.limit !== limit) {
      this.#entries.delete(keyOf(name, policy));
      return undefined;
    }
    const refusal = { ...known.refusal, waitMs };
    return { refusal, standings: after(known.standings, elapsed), at: now };
  }
}

const keyOf = (name: string, policy: Policy) => `${policy} ${name}`;

/** What is left is what was left at least. */
function after(standings: Standings, elapsed: number): Standings {
  return Object.fromEntries(
    Object.entries(standings).map(([policy, standing]) => [
      policy,
      {
        ...standing,
        moreMs: Math.max(0, standing.moreMs - elapsed),
        allMs: Math.max(0, standing.allMs - elapsed),
      },
    ]),
  );
}
