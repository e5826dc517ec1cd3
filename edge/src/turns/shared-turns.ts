/**
 * Turns of the objects of an isolate: of the pieces of work that they do by themselves one comes after the other, and after each
 * everybody else has as much time as it took. workerd looks at its sockets only when nothing else is left to do: the parts of a
 * few jobs, or many inputs that are read, would together keep every request out. Objects may not wait for one another, so
 * that each looks by itself whether its turn has come. Owners come by turns, however many objects each has.
 */
import { type Ticket, TurnQueue } from './turn-queue.ts';
import { pause } from './turns.ts';

/** A piece that has not ended by then waits for what is far away, or its object is gone: the next begins beside it. */
const ALONE_MS = 50;
/** What a piece may have waited for what is far away, of the time that it took. */
const FAR_MS = 50;
/** Characters that are read or written in a millisecond at least: what has more of them may have taken longer itself. */
const CHARACTERS_PER_MS = 1024;
const LONGEST_REST_MS = 2000;
/**
 * Who waits looks after half of the time that those before it are expected to take, so that its turn finds it there and a thousand
 * that wait look a few hundred times a second together; and at the latest after this, or this for each that waits.
 */
const LOOK_MS = 250;
const LOOK_EACH_MS = 2;
/** What the last piece weighs in what one is expected to take. */
const WEIGHT = 1 / 8;

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
  readonly #queue = new TurnQueue();
  /** The piece that is under way, and until when it is alone. */
  #piece: SharedTurn | null = null;
  #aloneUntil = 0;
  #restsUntil = 0;
  /** From the beginning of a piece to that of the next, as far as it is known, milliseconds. */
  #apartMs = 2 * LOOK_EACH_MS;

  constructor(services: Services = { now: () => Date.now(), pause }) {
    this.#now = services.now;
    this.#pause = services.pause;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.size;
  }

  /**
   * Resolves when the turn of an object has come.
   * @param owner for whom it is: those of one owner come one after the other, and those of others between them
   * @example
   * const turn = await sharedTurns.take(order.owner);
   * const read = JSON.parse(text);
   * await turn.end(text.length);
   */
  async take(owner: string): Promise<SharedTurn> {
    const ticket = this.#queue.join(owner, this.#now());
    /** The piece that it has seen to be late. */
    let late: SharedTurn | null = null;
    try {
      for (;;) {
        const now = this.#now();
        const { isNext, before } = this.#queue.look(ticket, now);
        const alone = this.#piece === null ? 0 : this.#aloneUntil - now;
        const rest = this.#restsUntil - now;
        if (isNext && alone <= 0 && rest <= 0) {
          // One that has computed until now has had no time to say that it is done: it has until the next look.
          if (this.#piece === null || late === this.#piece) return this.#begin(ticket);
          late = this.#piece;
        }
        const each = Math.max(this.#apartMs / 2, LOOK_EACH_MS);
        const busy = Math.max(rest, Math.min(alone, LOOK_EACH_MS), isNext ? LOOK_EACH_MS : 0);
        const wait = Math.max(busy, 0) + before * each;
        const longest = Math.max(LOOK_MS, this.#queue.size * LOOK_EACH_MS);
        ticket.looksAt = now + Math.min(Math.max(wait, LOOK_EACH_MS), longest);
        await this.#pause(ticket.looksAt - now);
      }
    } finally {
      this.#queue.leave(ticket);
    }
  }

  #begin(ticket: Ticket): SharedTurn {
    this.#queue.serve(ticket);
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
        const apart = Math.min(this.#restsUntil - begunAt, LOOK_MS);
        this.#apartMs += WEIGHT * (apart - this.#apartMs);
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
