/** Pauses of a loop that would else go on for as long as its input does: workerd looks at its sockets only when nothing else is left to do. */

/** What is done between two pauses, in bytes that are read; some milliseconds. */
export const SLICE = 2 ** 15;
/** Long enough for workerd to look at its sockets. */
const PAUSE_MS = 1;

/** How a long piece of work lets others come between. */
export type Slices = {
  /** @param work that was done since, or is about to be, as bytes */
  after: (work: number) => Promise<void>;
  /** Waits for something far away, as a bucket, which is no work. */
  away: <T>(call: () => Promise<T>) => Promise<T>;
};

export class Pauses implements Slices {
  #done = 0;

  async after(work: number): Promise<void> {
    this.#done += work;
    if (this.#done < SLICE) return;
    this.#done = 0;
    await scheduler.wait(PAUSE_MS);
  }

  async away<T>(call: () => Promise<T>): Promise<T> {
    return await call();
  }
}

/** Work in steps: yields what each has done, as bytes, and returns what comes of all. */
export type Steps<T> = Generator<number, T, undefined>;

/** All of it in one piece, which is for what is known to be short. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** @example const cost = await inPieces(jsonCost(body)); */
export async function inPieces<T>(steps: Steps<T>, slices: Slices = new Pauses()): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await slices.after(value);
  }
}
