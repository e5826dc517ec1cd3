/** Log lines of a runtime's own that a client may cause as often as it likes: each kind is printed at most once a second, with how many there were. */

export type LogLine = { level: string; message: string };

const NEWS_MS = 1000;
/** The place in its source that workerd names: the rest of a line may differ, as addresses do. */
const PLACE = /\b(?:workerd|kj|capnp)\/[\w./+-]+:\d+/;

/**
 * What the Worker logs itself, which names no such place, is printed as it comes.
 * @example
 * const lines = new RepeatedLines(({ message }) => console.error(message));
 * lines.add({ level: 'error', message: 'Uncaught exception: workerd/api/global-scope.c++:286: failed' });
 */
export class RepeatedLines {
  readonly #print: (line: LogLine) => void;
  /** Of those printed within the last second: what came since. */
  readonly #held = new Map<string, { count: number; last: string }>();

  constructor(print: (line: LogLine) => void) {
    this.#print = print;
  }

  add({ level, message }: LogLine): void {
    const place = PLACE.exec(message)?.[0];
    if (place === undefined) {
      this.#print({ level, message });
      return;
    }
    const key = `${level} ${place}`;
    const held = this.#held.get(key);
    if (held !== undefined) {
      held.count++;
      held.last = message;
      return;
    }
    this.#print({ level, message });
    this.#hold(key, level);
  }

  #hold(key: string, level: string): void {
    const held = { count: 0, last: '' };
    this.#held.set(key, held);
    const news = () => {
      this.#held.delete(key);
      if (held.count === 0) return;
      const times = held.count === 1 ? '' : ` (${held.count} such lines)`;
      this.#print({ level, message: `${held.last.trimEnd()}${times}` });
      this.#hold(key, level);
    };
    setTimeout(news, NEWS_MS).unref();
  }
}
