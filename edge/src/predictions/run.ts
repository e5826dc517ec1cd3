/** A prediction while it is made: its text so far, who waits for it, and what ends it. */
import type { ApiError } from '@blip2/shared/errors';
import type { StoredPrediction, Waiting } from './contract.ts';

/** What the last part of a text needs: the end of the prediction, however it came. */
export type End =
  | { status: 'succeeded'; output: string }
  | { status: 'failed'; error: string }
  | { status: 'canceled' };

/** How long a prediction whose last reader has left goes on: readers come again, and clients send again. */
const ABANDONED_MS = 1000;

export class Run {
  readonly prediction: StoredPrediction;
  readonly fingerprint: string;
  /** Of the request that created it. */
  readonly requestId: string;
  /** Its place in lists. */
  readonly number: number;
  /** Bytes of its image. */
  readonly bytes: number;
  /** Resolves when it may begin, or with why it may not. */
  admitted: Promise<ApiError | undefined> = Promise.resolve(undefined);
  /** Whether the table has it. */
  isStored = false;
  /** Requests that got it, of people who may not know of each other. */
  #sharers = 1;
  /** Requests that have its id and do not wait for it: they read it when they like. */
  #holders = 0;
  /** The parts of its text so far. */
  readonly deltas: string[] = [];
  readonly #controller = new AbortController();
  readonly #now: () => number;
  readonly #onEnd: (run: Run) => void;
  readonly #waiters = new Map<string, () => void>();
  #changed = Promise.withResolvers<void>();
  #readers = 0;
  #abandoned: ReturnType<typeof setTimeout> | undefined;

  /** @param onEnd called once, when it has ended */
  constructor(
    prediction: StoredPrediction,
    {
      fingerprint,
      bytes,
      number,
      requestId,
    }: Pick<Run, 'fingerprint' | 'bytes' | 'number' | 'requestId'>,
    { now, onEnd }: { now: () => number; onEnd: (run: Run) => void },
  ) {
    this.prediction = prediction;
    this.fingerprint = fingerprint;
    this.number = number;
    this.requestId = requestId;
    this.bytes = bytes;
    this.#now = now;
    this.#onEnd = onEnd;
  }

  /** Aborted when it is canceled. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hasEnded(): boolean {
    return this.prediction.endedAt !== null;
  }

  /** Whether somebody waits for its end. */
  get isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** Whether whoever read it or waited for it has left a moment ago, and may be coming again. */
  get isAbandoned(): boolean {
    return this.#abandoned !== undefined;
  }

  /** Another request got it, which may be another person's. */
  share(): void {
    this.#sharers++;
  }

  /** A request has its id, and does not wait: it goes on when others leave who did. */
  hold(): void {
    this.#holders++;
  }

  /** Unless another waits for it, or reads it. */
  cancel(): void {
    const isWanted = this.#waiters.size > 0 || this.#readers > 0;
    if (this.#sharers === 1 || !isWanted) this.end({ status: 'canceled' });
  }

  start(): void {
    if (this.prediction.startedAt !== null || this.hasEnded) return;
    this.prediction.startedAt = this.#now();
    this.prediction.status = 'processing';
  }

  add(text: string): void {
    if (this.hasEnded) return;
    this.deltas.push(text);
    this.#notify();
  }

  /** The first end counts. */
  end(end: End): void {
    if (this.hasEnded) return;
    Object.assign(this.prediction, end, { endedAt: this.#now() });
    this.stay();
    if (end.status === 'canceled') this.#controller.abort();
    this.#notify();
    for (const resolve of this.#waiters.values()) resolve();
    // Last: storage may fail, and nobody waits for ever because of it.
    this.#onEnd(this);
  }

  /** Somebody asks for it: it goes on. */
  stay(): void {
    clearTimeout(this.#abandoned);
    this.#abandoned = undefined;
  }

  /** Resolves at the end, after so many milliseconds, or when this waiter leaves. */
  async wait({ ms, waiter }: Waiting): Promise<void> {
    if (this.hasEnded) return;
    this.stay();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.hold();
      resolve();
    }, ms);
    this.#waiters.set(waiter, resolve);
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(waiter);
  }

  leave(waiter: string): void {
    const resolve = this.#waiters.get(waiter);
    if (resolve === undefined) return;
    this.#waiters.delete(waiter);
    resolve();
    this.#left(0);
  }

  /**
   * The parts of its text from one on, as they are written, until the end.
   * @param left aborted when the reader goes away
   */
  async *read(from: number, left: AbortSignal): AsyncGenerator<string, void, undefined> {
    this.stay();
    this.#readers++;
    left.addEventListener('abort', () => this.#notify());
    try {
      for (let index = from; ; index++) {
        while (index >= this.deltas.length) {
          if (this.hasEnded || left.aborted) return;
          await this.#changed.promise;
        }
        yield this.deltas[index] ?? '';
      }
    } finally {
      this.#readers--;
      // One of those who have its id.
      this.#left(1);
    }
  }

  /** @param holders that whoever has left was himself */
  #left(holders: number): void {
    const isWanted = this.#readers > 0 || this.#waiters.size > 0 || this.#holders > holders;
    if (isWanted || this.hasEnded) return;
    this.stay();
    this.#abandoned = setTimeout(() => this.end({ status: 'canceled' }), ABANDONED_MS);
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
