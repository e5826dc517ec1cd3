/**
 * Who waits, client by client: those of one in the order in which they came, and each of the others' between two of them. Whoever comes or
 * leaves takes no more steps where thousands wait.
 */
export class ClientQueue<T> {
  /** The client whose turn it is comes first. */
  readonly #waiting = new Map<string, Set<T>>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  add(client: string, waiter: T): void {
    const mine = this.#waiting.get(client) ?? new Set();
    mine.add(waiter);
    this.#waiting.set(client, mine);
  }

  delete(client: string, waiter: T): void {
    const mine = this.#waiting.get(client);
    mine?.delete(waiter);
    if (mine?.size === 0) this.#waiting.delete(client);
  }

  /** The next, which goes on to wait. @param isThere those before it that are not leave the queue */
  peek(isThere: (waiter: T) => boolean): T | undefined {
    return this.#next(isThere)?.[1];
  }

  /** The next, which leaves the queue: the other clients come first next time. @param isThere as of `peek` */
  take(isThere: (waiter: T) => boolean): T | undefined {
    const [client, waiter] = this.#next(isThere) ?? [];
    if (client === undefined || waiter === undefined) return undefined;
    this.delete(client, waiter);
    const rest = this.#waiting.get(client);
    this.#waiting.delete(client);
    if (rest !== undefined) this.#waiting.set(client, rest);
    return waiter;
  }

  #next(isThere: (waiter: T) => boolean): [string, T] | undefined {
    for (const [client, waiting] of this.#waiting) {
      for (const waiter of waiting) {
        if (isThere(waiter)) return [client, waiter];
        this.delete(client, waiter);
      }
    }
    return undefined;
  }
}
