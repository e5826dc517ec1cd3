/** The storage of one caller's object: empty until there is something to store, and again when all of that is an hour old. */
import { STORED_MS } from './contract.ts';
import { FileTable } from './file-table.ts';
import { PredictionTable } from './prediction-table.ts';

export class CallerStorage {
  readonly predictions: PredictionTable;
  readonly files: FileTable;
  readonly #storage: DurableObjectStorage;
  #isPrepared: boolean;
  /** Whether an alarm is set, as far as this instance knows. */
  #willExpire = false;

  constructor(storage: DurableObjectStorage) {
    const { sql } = storage;
    this.#storage = storage;
    this.predictions = new PredictionTable(sql);
    this.files = new FileTable(sql);
    // Nothing is written before there is something to store: whoever guesses at ids leaves nothing behind.
    this.#isPrepared =
      sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'files'").toArray()[0] !== undefined;
    // What a version before may not have.
    if (this.#isPrepared) this.#create();
  }

  /** Whether it has tables, which are not read or written before. */
  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  /** To be called before anything is stored. */
  prepare(): void {
    if (this.#isPrepared) return;
    this.#create();
    this.#isPrepared = true;
  }

  #create(): void {
    this.predictions.create();
    this.files.create();
  }

  /** Sets the alarm for what was created then, unless one is set for what is older. */
  async expireLater(createdAt: number): Promise<void> {
    if (this.#willExpire) return;
    if ((await this.#storage.getAlarm()) === null) {
      await this.#storage.setAlarm(createdAt + STORED_MS);
    }
    this.#willExpire = true;
  }

  /** The alarm that was set is over. */
  alarmCame(): void {
    this.#willExpire = false;
  }

  /** Deletes what is an hour old; where nothing is left, it leaves nothing behind. */
  async expire(now: number): Promise<void> {
    const oldest = [this.predictions.expire(now), this.files.expire(now)].filter(
      (time) => time !== null,
    );
    if (oldest.length > 0) {
      await this.#storage.setAlarm(Math.min(...oldest) + STORED_MS);
      return;
    }
    this.#isPrepared = false;
    await this.#storage.deleteAll();
  }
}
