/** Room for so many at a time: who finds none waits, and all who wait look again whenever one leaves. */
export class Room {
  readonly #size: number;
  readonly #waiting: (() => void)[] = [];
  #held = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Waits until there is room for one more, which it does not take. */
  async free(): Promise<void> {
    while (this.#held >= this.#size) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  enter(): void {
    this.#held++;
  }

  leave(): void {
    this.#held--;
    // With one promise for all, which each who wakes replaces, only the last would be woken again.
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
