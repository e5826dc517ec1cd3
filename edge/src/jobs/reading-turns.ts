/** Reads an input in pieces, which all objects of an isolate do in turns: one that is large keeps nobody out, nor do many together. */
import type { Slices } from '../pauses.ts';
import { type SharedTurn, sharedTurns } from '../turns/shared-turns.ts';

/** What is done in one turn, in bytes that are read; some milliseconds. */
const SLICE = 2 ** 15;

export class ReadingTurns implements Slices {
  readonly #owner: string;
  readonly #goesOn: () => void;
  readonly #turns: typeof sharedTurns;
  #turn: SharedTurn | undefined;
  #done = 0;

  /** @param goesOn called now and again, as long as it is read */
  constructor(owner: string, goesOn: () => void = () => {}, turns = sharedTurns) {
    this.#owner = owner;
    this.#goesOn = goesOn;
    this.#turns = turns;
  }

  async after(work: number): Promise<void> {
    this.#done += work;
    if (this.#turn !== undefined && this.#done < SLICE) return;
    await this.end();
    await this.#begin();
  }

  /** Others have their turns meanwhile; what follows is done in a new one. */
  async away<T>(call: () => Promise<T>): Promise<T> {
    await this.end();
    const result = await call();
    await this.#begin();
    return result;
  }

  /** To be called when all is read. */
  async end(): Promise<void> {
    this.#goesOn();
    const done = this.#done;
    this.#done = 0;
    const turn = this.#turn;
    this.#turn = undefined;
    await turn?.end(done);
  }

  async #begin(): Promise<void> {
    this.#turn = await this.#turns.take(this.#owner);
    this.#goesOn();
  }
}
