/** Which operations of the API inputs have reached: fuzzing that none gets through to tests what refuses it, and no more. */
import { Violation } from '../violation.ts';
import type { ApiDocument } from './described.ts';
import type { HttpInput } from './exchange.ts';

/** So many inputs may all be refused by chance. */
const ENOUGH = 60;

/** @example reached.add('/v1/captions', { method: 'POST' }, 200) */
export class Reached {
  readonly #sent = new Map<string, { inputs: number; answered: number }>();

  /** @param document all operations that there are */
  constructor({ paths }: ApiDocument) {
    for (const [path, item] of Object.entries(paths)) {
      for (const method of Object.keys(item)) {
        this.#sent.set(nameOf(method, path), { inputs: 0, answered: 0 });
      }
    }
  }

  /** @param path with names for its parameters */
  add(path: string, { method }: Pick<HttpInput, 'method'>, status: number): void {
    const operation = this.#sent.get(nameOf(method, path));
    if (operation === undefined) return;
    operation.inputs++;
    if (status < 400) operation.answered++;
  }

  /** @throws Violation where one has refused all of many inputs, or of many inputs for each has had none */
  expectAll(): void {
    const all = [...this.#sent.values()].reduce((sum, { inputs }) => sum + inputs, 0);
    const isLong = all >= ENOUGH * 4 * this.#sent.size;
    const missed = [...this.#sent].flatMap(([name, { inputs, answered }]) => {
      if (inputs >= ENOUGH && answered === 0) return [`${name} refuses all of ${inputs}`];
      return isLong && inputs === 0 ? [`${name} has had none`] : [];
    });
    if (missed.length > 0) throw new Violation(`inputs reach too little: ${missed.join(', ')}`);
  }
}

function nameOf(method: string, path: string): string {
  return `${method.toUpperCase()} ${path}`;
}
