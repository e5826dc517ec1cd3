/** Pauses of a loop that would else go on for as long as its input does: workerd looks at its sockets only when nothing else is left to do. */

/** What is done between two pauses, in bytes that are read; some milliseconds. */
const SLICE = 2 ** 15;
/** Long enough for workerd to look at its sockets. */
const PAUSE_MS = 1;

export class Pauses {
  #done = 0;

  /** @param work that was done since, as bytes */
  async after(work: number): Promise<void> {
    this.#done += work;
    if (this.#done < SLICE) return;
    this.#done = 0;
    await scheduler.wait(PAUSE_MS);
  }
}
