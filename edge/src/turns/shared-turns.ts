/**
 * Turns of the objects of an isolate: of the pieces of work that they do by themselves one comes after the other, and after each
 * everybody else has as much time as it took. workerd looks at its sockets only when nothing else is left to do: the parts of a
 * few jobs, or many inputs that are read, would together keep every request out. Objects may not wait for one another, so
 * that each looks by itself whether its turn has come.
 */
import { pause } from './turns.ts';

/** A piece that has not ended by then waits for what is far away, or its object is gone: the next begins beside it. */
const ALONE_MS = 50;
/** What a piece may have waited for what is far away, of the time that it took. */
const FAR_MS = 50;
/** Characters that are read or written in a millisecond at least: what has more of them may have taken longer itself. */
const CHARACTERS_PER_MS = 1024;
const LONGEST_REST_MS = 2000;
/** How often who waits looks by itself at the latest, and for each that comes before it. */
const LOOK_MS = 250;
const LOOK_EACH_MS = 2;

/** Who waits says again and again that it does: one whose object is gone gets no turn. */
type Ticket = { saidAt: number; late?: SharedTurn };
type Services = { now: () => number; pause: (ms?: number) => Promise<void> };

export type SharedTurn = {
  /**
   * The piece is done: it rests for as long as that took.
   * @param characters of what it has read and written, which bound that: a wait for what is far away keeps nobody out
   * @param apartMs milliseconds from its beginning to that of the next at least
   */
  end: (characters: number, apartMs?: number) => Promise<void>;
};

export class SharedTurns {
  readonly #now: Services['now'];
  readonly #pause: Services['pause'];
  /** Who waits, in the order in which they came. */
  readonly #waiting = new Set<Ticket>();
  /** The piece that is under way, and until when it is alone. */
  #piece: SharedTurn | null = null;
  #aloneUntil = 0;
  #restsUntil = 0;

  constructor(services: Services = { now: () => Date.now(), pause }) {
    this.#now = services.now;
    this.#pause = services.pause;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when the turn of an object has come.
   * @example
   * const turn = await sharedTurns.take();
   * const read = JSON.parse(text);
   * await turn.end(text.length);
   */
  async take(): Promise<SharedTurn> {
    const ticket: Ticket = { saidAt: this.#now() };
    this.#waiting.add(ticket);
    try {
      for (;;) {
        const wait = this.#wait(ticket);
        if (wait === 0) return this.#begin();
        await this.#pause(Math.min(wait, LOOK_MS));
      }
    } finally {
      this.#waiting.delete(ticket);
    }
  }

  /** @returns milliseconds until it is to look again; 0 where its turn has come */
  #wait(ticket: Ticket): number {
    const now = this.#now();
    ticket.saidAt = now;
    let before = 0;
    for (const other of this.#waiting) {
      if (other === ticket) break;
      // One that was only late is where it was when it looks next.
      if (now - other.saidAt <= 4 * LOOK_MS) before++;
    }
    const alone = this.#piece === null ? 0 : this.#aloneUntil - now;
    const rest = this.#restsUntil - now;
    if (before === 0 && alone <= 0 && rest <= 0) {
      // One that has computed until now has had no time to say that it is done: it has until the next look.
      if (this.#piece === null || ticket.late === this.#piece) return 0;
      ticket.late = this.#piece;
    }
    return Math.max(rest, Math.min(alone, LOOK_EACH_MS), LOOK_EACH_MS * (before + 1));
  }

  #begin(): SharedTurn {
    const begunAt = this.#now();
    const turn: SharedTurn = {
      end: async (characters, apartMs = 0) => {
        // The clock stands still while a Worker computes, and moves at a timer.
        await this.#pause(1);
        const now = this.#now();
        const longest = Math.min(FAR_MS + characters / CHARACTERS_PER_MS, LONGEST_REST_MS);
        // With the pause that it has had.
        const rest = Math.min(now - begunAt - 1, longest) - 1;
        this.#restsUntil = Math.max(this.#restsUntil, now + rest, begunAt + apartMs);
        if (this.#piece === turn) this.#piece = null;
      },
    };
    this.#piece = turn;
    this.#aloneUntil = begunAt + ALONE_MS;
    return turn;
  }
}

/** Of the objects of this isolate. */
export const sharedTurns = new SharedTurns();
