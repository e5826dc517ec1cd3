/** Groups that wait for slots, in the order in which they get them. */
import type { KvManager } from './kv/kv-manager.ts';
import { compareTickets } from './scheduling/fair-queue.ts';
import type { EngineRequest, SequenceGroup } from './sequence.ts';

/** The first chunk of each is up to date for as long as it waits here. */
export class WaitingGroups {
  readonly #kv: Pick<KvManager, 'track' | 'untrack'>;
  #groups: SequenceGroup[] = [];

  constructor(kv: Pick<KvManager, 'track' | 'untrack'>) {
    this.#kv = kv;
  }

  get inOrder(): readonly SequenceGroup[] {
    // Anew, as a ticket may have come to be later.
    return this.#groups.sort((a, b) => compareTickets(a.request.ticket, b.request.ticket));
  }

  add(group: SequenceGroup): void {
    this.#kv.track(group);
    this.#groups.push(group);
  }

  /** Removes those that begin. */
  take(groups: readonly SequenceGroup[]): void {
    for (const group of groups) this.#kv.untrack(group);
    this.#groups = this.#groups.filter((group) => !groups.includes(group));
  }

  /** Removes those of a request. @returns it, where it waited */
  remove(id: number): EngineRequest | undefined {
    const groups = this.#groups.filter(({ request }) => request.id === id);
    this.take(groups);
    return groups[0]?.request;
  }
}
