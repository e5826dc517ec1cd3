/** The predictions of one caller, from memory and from the table as one: found, listed, stored and deleted. */
import type { ImagePath } from '@blip2/shared/cache-key';
import { logWarning } from '../log.ts';
import type { CallerStorage } from './caller-storage.ts';
import type { Cursor, Page, StoredPrediction } from './contract.ts';
import type { DeletedImages } from './deleted-images.ts';
import type { Stored } from './prediction-table.ts';
import type { Run } from './run.ts';
import type { Runs } from './runs.ts';

type Parts = {
  runs: Runs;
  storage: CallerStorage;
  deleted: DeletedImages;
  now: () => number;
  waitUntil: (work: Promise<unknown>) => void;
};

export class CallerPredictions {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** As it is made, or as it was stored. */
  async find(id: string): Promise<Run | Stored | null> {
    const { runs, storage, deleted } = this.#parts;
    if (!storage.isPrepared) return null;
    const now = this.#parts.now();
    this.forget(now);
    const run = runs.get(id);
    if (run !== undefined) return run;
    const stored = storage.predictions.find(id, now);
    if (await deleted.isGone(stored?.prediction.image)) return null;
    return stored && { ...stored, prediction: this.#asItIs(stored.prediction) };
  }

  async list(cursor: Cursor | null): Promise<Page> {
    const { storage, deleted, now } = this.#parts;
    if (!storage.isPrepared) return { predictions: [], older: null, newer: null };
    this.storeAll();
    const page = storage.predictions.list(cursor, now());
    const predictions = await deleted.withoutGone(page.predictions, ({ image }) => image);
    return { ...page, predictions: predictions.map((stored) => this.#asItIs(stored)) };
  }

  store(run: Run): void {
    const { predictions } = this.#parts.storage;
    const { prediction, deltas, number } = run;
    if (run.isStored) predictions.update(prediction, deltas);
    else predictions.put(number, prediction, deltas);
    run.isStored = true;
  }

  /** Behind what is replied now, which would wait for the disk: until then it is read from memory. */
  storeSoon(run: Run): void {
    const store = async () => {
      await scheduler.wait(0);
      // It may have been stored by now, and its image may have been deleted.
      const isThere = this.#parts.runs.get(run.prediction.id) === run;
      if (!run.isStored && isThere) this.#storeOrLog(run);
    };
    this.#parts.waitUntil(store());
  }

  /** Those, too, for which somebody waits. */
  storeAll(): void {
    for (const run of this.#parts.runs.unstored()) this.#storeOrLog(run);
  }

  /** Drops from memory what ended a while ago: the table has it. */
  forget(now: number): void {
    for (const run of this.#parts.runs.takeOld(now)) if (!run.isStored) this.#storeOrLog(run);
  }

  delete(id: string): void {
    const { runs, storage } = this.#parts;
    runs.delete(id);
    storage.predictions.delete(id);
  }

  /** Those about this image that have ended. */
  deleteImage(image: ImagePath): void {
    const { runs, storage } = this.#parts;
    if (!storage.isPrepared) return;
    runs.deleteImage(image);
    storage.predictions.deleteImage(image);
  }

  /** Who has the reply needs no more; what else is asked of the object must not fail because of it. */
  #storeOrLog(run: Run): void {
    try {
      this.store(run);
    } catch (thrown) {
      const { message } = thrown as Error;
      logWarning('prediction-not-stored', { request_id: run.requestId, message });
    }
  }

  /** One that has not ended and is not being made was lost with an earlier instance of the object. */
  #asItIs(stored: StoredPrediction): StoredPrediction {
    const run = this.#parts.runs.get(stored.id);
    if (run !== undefined) return run.prediction;
    if (stored.endedAt !== null) return stored;
    const error = 'The service was started anew before this prediction had ended: create it again.';
    return { ...stored, status: 'failed', error, endedAt: stored.createdAt };
  }
}
