/** The predictions of one caller that are in memory: those that have not ended, and those that ended a moment ago. */
import type { ImagePath } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { EVERY_USE } from '../request-context.ts';
import type { PredictionOrder } from './contract.ts';
import type { Run } from './run.ts';

/** Predictions of one caller that have not ended. */
const MAX_UNFINISHED = 64;
/** How long after its end a prediction is also the reply to the same request, which its client may have sent again. */
const REPEATED_MS = 5000;
const RETRY_AFTER_S = 1;

export class Runs {
  /** By id. */
  readonly #runs = new Map<string, Run>();
  /** Those that are worked on: one that was canceled has its image in memory until that is over. */
  readonly #working = new Set<Run>();

  add(run: Run): void {
    this.#runs.set(run.prediction.id, run);
  }

  /** Its image counts until this work is over, also after its end and its deletion. */
  async during(run: Run, work: Promise<void>): Promise<void> {
    this.#working.add(run);
    try {
      await work;
    } finally {
      this.#working.delete(run);
    }
  }

  get(id: string): Run | undefined {
    return this.#runs.get(id);
  }

  delete(id: string): void {
    this.#runs.delete(id);
  }

  /** Those about this image that have ended. */
  deleteImage(image: ImagePath): void {
    for (const [id, { prediction, hasEnded }] of this.#runs) {
      if (hasEnded && prediction.image?.path === image) this.#runs.delete(id);
    }
  }

  /** Those that the table does not have. */
  unstored(): Run[] {
    return [...this.#runs.values()].filter(({ isStored }) => !isStored);
  }

  /** Takes out what ended a while ago. */
  takeOld(now: number): Run[] {
    const old = [...this.#runs.values()].filter(
      ({ prediction: { endedAt } }) => endedAt !== null && now - endedAt > REPEATED_MS,
    );
    for (const { prediction } of old) this.#runs.delete(prediction.id);
    return old;
  }

  /** Whoever waited under this name has gone away. */
  leave(waiter: string): void {
    for (const run of this.#runs.values()) run.leave(waiter);
  }

  /**
   * The one that this order has made already, which stays for it. What failed or was canceled is asked for anew, and so is what
   * has ended where the request wants none that is so old.
   */
  repeated({ fingerprint, context, sender }: PredictionOrder, now: number): Run | undefined {
    const { maxAge } = context.cacheUse ?? EVERY_USE;
    // An address may be that of many: what was sent a while ago is another's, unless whoever waited for it has just left.
    const mayBeAnothers = !sender.caller;
    const run = [...this.#runs.values()].find(
      ({ fingerprint: other, hasEnded, isAbandoned, prediction: { status, createdAt } }) =>
        other === fingerprint &&
        !['failed', 'canceled'].includes(status) &&
        (!hasEnded || now - createdAt < maxAge * 1000) &&
        (!mayBeAnothers || hasEnded || isAbandoned || now - createdAt <= REPEATED_MS),
    );
    run?.stay();
    if (mayBeAnothers) run?.share();
    return run;
  }

  /** Why there cannot be one more, whose image has so many bytes. */
  refusal(bytes: number, maxHeldBytes: number): ApiError | undefined {
    const unfinished = [...this.#runs.values()].filter(({ hasEnded }) => !hasEnded);
    const holding = new Set([...unfinished, ...this.#working]);
    const held = [...holding].reduce((sum, run) => sum + run.bytes, 0);
    const extras = { limit: MAX_UNFINISHED, retry_after: RETRY_AFTER_S };
    if (unfinished.length >= MAX_UNFINISHED) {
      const detail = `${MAX_UNFINISHED} predictions have not ended: wait for one of them, or cancel it.`;
      return new ApiError('too-many-requests', detail, extras);
    }
    if (held === 0 || held + bytes <= maxHeldBytes) return undefined;
    const detail =
      'The images of the predictions that have not ended take all room: wait for one of them, or cancel it.';
    return new ApiError('too-many-requests', detail, { retry_after: RETRY_AFTER_S });
  }
}
