/** Places for requests that are admitted: so many in all, and not all of them for one client or for background work. */
import type { Standing } from '../protocol.ts';

export class Places {
  readonly #limit: number;
  /** What one client, or all background work, may have: the others find room. */
  readonly #part: number;
  /** Requests by client; the unnamed are nobody's. */
  readonly #ofClient = new Map<string, number>();
  #background = 0;
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#part = Math.ceil(limit / 2);
  }

  get taken(): number {
    return this.#taken;
  }

  /** Why there is no place; null when there is one. */
  refusal({ client, priority }: Standing): string | null {
    if (this.#taken >= this.#limit) {
      return 'All places and the queue are taken. Try again shortly.';
    }
    if (client !== '' && (this.#ofClient.get(client) ?? 0) >= this.#part) {
      return `This client has ${this.#part} requests under way, as many as one may have.`;
    }
    if (priority === 'background' && this.#background >= this.#part) {
      return 'The places for background work are taken. Try again later.';
    }
    return null;
  }

  /** Give it back with `using`. */
  take({ client, priority }: Standing): Disposable {
    const add = (count: 1 | -1) => {
      this.#taken += count;
      if (priority === 'background') this.#background += count;
      if (client === '') return;
      const now = (this.#ofClient.get(client) ?? 0) + count;
      if (now > 0) this.#ofClient.set(client, now);
      else this.#ofClient.delete(client);
    };
    add(1);
    return { [Symbol.dispose]: () => add(-1) };
  }
}
