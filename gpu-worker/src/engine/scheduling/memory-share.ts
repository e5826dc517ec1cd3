/** Decides who gets memory for keys and values: one client, or background work, leaves some to all others. */
import type { KvNeed } from '../kv/kv-budget.ts';
import { isUnnamed } from './unnamed.ts';

/** A group of sequences, and for whom it works. */
export type Group = {
  readonly slots: number;
  /** Who asks: the unnamed are one client. */
  readonly client: string;
  readonly isBackground: boolean;
  /** What it may come to hold. */
  readonly kv: KvNeed;
};

export type Memory = {
  /** Whether there is memory for all these together, of so much of it: 1 is all. */
  fits(needs: readonly KvNeed[], part?: number): boolean;
  /** What all together leave to short requests: those that need no more than this. */
  readonly spare: KvNeed;
};

/** What background work has of it together, unless one group alone needs more. */
const BACKGROUND_PART = 1 / 2;

type Holding = Pick<Group, 'client' | 'isBackground'> & { kv: KvNeed; isSpare: boolean };

/**
 * All groups together leave what is spared: room for short requests, however long the others are. That goes to clients that hold
 * nothing, so that a caption waits for other short ones at most, and none who waits for memory gets it later for these.
 * @example new MemoryShare(waiting, held, budget).partFor(group) // 'spare'
 */
export class MemoryShare {
  readonly #memory: Memory;
  readonly #waiting: readonly Group[];
  readonly #held: Holding[] = [];
  /** Of what is no spare: held, or spoken for. */
  readonly #needs: KvNeed[] = [];
  /** Clients that hold or want some for interactive work. */
  readonly #clients: number;

  constructor(
    waiting: readonly Group[],
    held: readonly (Group & { readonly isSpare?: boolean })[],
    memory: Memory,
  ) {
    this.#memory = memory;
    this.#waiting = waiting;
    for (const group of held) this.take(group, group.isSpare ?? false);
    const interactive = [...waiting, ...held].filter(({ isBackground }) => !isBackground);
    this.#clients = new Set(interactive.map(({ client }) => client)).size;
  }

  /** Of which part a group may have what it needs; null while it waits. */
  partFor(group: Group): 'common' | 'spare' | null {
    const fits = this.#memory.fits([...this.#needs, group.kv, this.#memory.spare]);
    if (fits && this.#isInBackgroundPart(group) && !this.hasItsShare(group)) return 'common';
    return this.#maySpare(group) ? 'spare' : null;
  }

  /**
   * Whether a client that holds some would have more than its part with this, while others wait: these go first.
   */
  hasItsShare({ kv, client, isBackground }: Group): boolean {
    if (isBackground) return false;
    const own = this.#ownOf(client);
    if (own.length === 0) return false;
    if (!this.#waiting.some((one) => !one.isBackground && one.client !== client)) return false;
    return !this.#memory.fits([...own.map((one) => one.kv), kv], 1 / this.#clients);
  }

  /** What begins later leaves it that. */
  speakFor({ kv }: Group): void {
    this.#needs.push(kv);
  }

  take({ kv, client, isBackground }: Group, isSpare: boolean): void {
    this.#held.push({ kv, client, isBackground, isSpare });
    if (!isSpare) this.#needs.push(kv);
  }

  /** One that needs more than the part of all is the only one. */
  #isInBackgroundPart({ kv, isBackground }: Group): boolean {
    if (!isBackground) return true;
    const others = this.#held.filter((one) => one.isBackground);
    return (
      others.length === 0 ||
      this.#memory.fits([...others.map((one) => one.kv), kv], BACKGROUND_PART)
    );
  }

  #maySpare({ kv, client, isBackground }: Group): boolean {
    if (isBackground) return false;
    const { spare } = this.#memory;
    if (kv.promptIds > spare.promptIds || kv.maxTokens > spare.maxTokens) return false;
    return slotsOf(this.#held.filter(({ isSpare }) => isSpare)) + kv.slots <= this.#spareOf(client);
  }

  /**
   * Slots of what is spared that a client may have. Beside what else it holds that is a half, as a caption does not wait for the eight
   * samples of somebody behind the same address: unless one who holds nothing waits. Of those without a name one may be somebody else
   * than the other.
   */
  #spareOf(client: string): number {
    const { slots } = this.#memory.spare;
    const own = this.#ownOf(client);
    if (own.length === 0) return slots;
    const isNew = (one: Group) =>
      !one.isBackground && one.client !== client && this.#ownOf(one.client).length === 0;
    if (this.#waiting.some(isNew)) return isUnnamed(client) ? slots / 2 : 0;
    return own.every(({ isSpare }) => isSpare) ? slots : slots / 2;
  }

  #ownOf(client: string): Holding[] {
    return this.#held.filter((one) => one.client === client && !one.isBackground);
  }
}

const slotsOf = (held: readonly Holding[]) => held.reduce((sum, { kv }) => sum + kv.slots, 0);
