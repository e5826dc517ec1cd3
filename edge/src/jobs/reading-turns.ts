/** Reads an input in pieces, which all objects of an isolate do in turns: one that is large keeps nobody out, nor do many together. */
import { type SharedTurn, sharedTurns } from '../turns/shared-turns.ts';

/** What is done in one turn, in bytes that are read; some milliseconds. */
const SLICE = 2 ** 15;

export class ReadingTurns {
  #turn: SharedTurn | undefined;
  #done = 0;

  /** @param work that was done since, or is about to be, as bytes */
  async after(work: number): Promise<void> {
    this.#done += work;
    if (this.#turn !== undefined && this.#done < SLICE) return;
    await this.end();
    this.#turn = await sharedTurns.take();
  }

  /** To be called when all is read. */
  async end(): Promise<void> {
    const done = this.#done;
    this.#done = 0;
    const turn = this.#turn;
    this.#turn = undefined;
    await turn?.end(done);
  }
}
