/** Bounds the memory that bodies of requests hold together, however many arrive at once. */
import { ApiError } from '@blip2/shared/errors';

/** How long a body may wait for room before its sender had better come again. */
export const ROOM_MS = 5000;
const RETRY_AFTER_S = 1;
/** Of all memory, what those have together who wait for others: these read their bodies through the rest. */
const RETAINED_PART = 1 / 4;

type Waiting = { bytes: number; grant: () => void };

/**
 * Bytes are charged before they are read, and released when nobody needs them any more. Who finds no room waits in turn:
 * a small body does not pass a large one, which would otherwise wait for ever.
 * @example using _held = await memory.take(head.length, signal);
 */
export class BodyMemory {
  readonly #limit: number;
  readonly #waiting: Waiting[] = [];
  #held = 0;
  /** Of what is charged, bytes of those who wait for others before they release it. */
  #retained = 0;

  /** @param limit bytes, at least those of the largest body */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes that are charged now. */
  get held(): number {
    return this.#held;
  }

  /** Bytes of those that are charged whose holders wait for others. */
  get retained(): number {
    return this.#retained;
  }

  /** @throws ApiError `overloaded` when there is no room for seconds, or the reason of the signal */
  async take(bytes: number, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#waiting.length > 0 || !this.#fits(bytes)) await this.#wait(bytes, signal);
    else this.#held += bytes;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#held -= bytes;
        this.#grant();
      },
    };
  }

  /**
   * Lets somebody who has been charged hold that while others are to be done first, until the returned value is disposed.
   * @param largest body that others may have
   * @param bytes that were charged, however many came
   * @returns null where these would wait for it for ever, or share too little: then it is to be released
   */
  retain(bytes: number, largest: number): Disposable | null {
    const retained = this.#retained + bytes;
    if (retained > RETAINED_PART * this.#limit || retained + largest > this.#limit) return null;
    this.#retained = retained;
    let isRetained = true;
    return {
      [Symbol.dispose]: () => {
        if (isRetained) this.#retained -= bytes;
        isRetained = false;
      },
    };
  }

  #fits(bytes: number): boolean {
    return this.#held + bytes <= this.#limit;
  }

  /** Lets those in whose turn it is. */
  #grant(): void {
    for (let next = this.#waiting[0]; next && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#held += next.bytes;
      next.grant();
    }
  }

  async #wait(bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { bytes, grant: resolve };
    const leave = (reason: unknown) => {
      const at = this.#waiting.indexOf(waiting);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      reject(reason);
      // It may have stood in the way of smaller ones.
      this.#grant();
    };
    this.#waiting.push(waiting);
    const onAbort = () => leave(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => leave(noRoom()), ROOM_MS);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }
}

function noRoom(): ApiError {
  const detail = 'The memory for images that are being sent is taken. Try again shortly.';
  return new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
}
