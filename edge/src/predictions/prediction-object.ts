/**
 * The Durable Object of one caller: makes the predictions, and stores them and the files for an hour. The work is done
 * here and not in the Worker, which ends soon after its reply: an object goes on while it waits for the GPU worker.
 */
import { DurableObject } from 'cloudflare:workers';
import type { ImagePath } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../dependencies.ts';
import type { Env } from '../platform.ts';
import { settlingObject } from '../settling.ts';
import type { Place } from '../turns/places.ts';
import { CallerFiles } from './caller-files.ts';
import { CallerPredictions } from './caller-predictions.ts';
import { CallerStorage } from './caller-storage.ts';
import type {
  Cursor,
  FileContent,
  NewFile,
  Outcome,
  Page,
  PredictionOrder,
  Predictions,
  StoredFile,
  StoredPrediction,
  Visitor,
  Waiting,
} from './contract.ts';
import { type CreationDeps, PredictionCreator } from './create-prediction.ts';
import { DeletedImages } from './deleted-images.ts';
import { newId, objectIdOf, randomHex } from './ids.ts';
import { Runs } from './runs.ts';
import { streamReply } from './stream-reply.ts';
import { Visitors } from './visitors.ts';

type Deps = CreationDeps & Pick<Dependencies, 'deletions'>;

export abstract class PredictionObject extends DurableObject<Env> implements Predictions {
  readonly #storage: CallerStorage;
  readonly #runs = new Runs();
  readonly #predictions: CallerPredictions;
  readonly #creator: PredictionCreator;
  readonly #files: CallerFiles;
  readonly #visitors = new Visitors();
  #deps: Deps | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const deps = () => this.#dependencies();
    const now = () => deps().now();
    const waitUntil = (work: Promise<unknown>) => ctx.waitUntil(work);
    const deleted = new DeletedImages(deps, ctx);
    const storage = new CallerStorage(ctx.storage);
    const runs = this.#runs;
    const predictions = new CallerPredictions({ runs, storage, deleted, now, waitUntil });
    this.#storage = storage;
    this.#predictions = predictions;
    this.#creator = new PredictionCreator({
      deps,
      object: ctx,
      storage,
      runs,
      predictions,
      deleted,
      readFile: (id, signal) => this.#readAnyFile(id, signal),
    });
    this.#files = new CallerFiles({ storage, deleted, now });
  }

  /** What predictions are made with: its own, since no two objects may wait for one connection. */
  protected abstract dependencies(): Deps;

  async create(
    order: PredictionOrder,
    waiting: Waiting | null,
  ): Promise<Outcome<StoredPrediction>> {
    return await this.#creator.create(order, waiting);
  }

  async leave(waiter: string): Promise<void> {
    this.#runs.leave(waiter);
  }

  async find(id: string): Promise<StoredPrediction | null> {
    this.#runs.get(id)?.stay();
    return (await this.#predictions.find(id))?.prediction ?? null;
  }

  async cancel(id: string): Promise<StoredPrediction | null> {
    this.#runs.get(id)?.cancel();
    return await this.find(id);
  }

  async list(cursor: Cursor | null): Promise<Page> {
    return await this.#predictions.list(cursor);
  }

  async stream(id: string, after: number, visitor: Visitor): Promise<Outcome<Response> | null> {
    const found = await this.#predictions.find(id);
    if (found === null || found.prediction.token !== visitor.token) return null;
    try {
      const place = this.#enter(found.prediction, visitor);
      return { value: await streamReply(found, after, place) };
    } catch (thrown) {
      return { problem: ApiError.from(thrown).toProblem() };
    }
  }

  async putFile(file: NewFile): Promise<StoredFile> {
    return await this.#files.put(file, { id: newId(this.ctx.id), token: randomHex() });
  }

  async findFile(id: string): Promise<StoredFile | null> {
    return await this.#files.find(id);
  }

  async listFiles(): Promise<StoredFile[]> {
    return await this.#files.list();
  }

  async readFile(id: string): Promise<Uint8Array<ArrayBuffer> | null> {
    return await this.#files.read(id, `${this.ctx.id}`);
  }

  async downloadFile(id: string, visitor: Visitor): Promise<Outcome<FileContent> | null> {
    const file = await this.#files.find(id);
    if (file === null || file.token !== visitor.token) return null;
    try {
      const place = this.#enter(file, visitor);
      // The Worker ends it sooner, if that is still there.
      const stalledMs = 2 * this.#dependencies().config.deadlineMs;
      const bytes = await this.#files.stream(file, { stalledMs, onEnd: place.leave });
      return { value: { file, bytes } };
    } catch (thrown) {
      return { problem: ApiError.from(thrown).toProblem() };
    }
  }

  async deleteFile(id: string): Promise<boolean> {
    return this.#files.delete(id);
  }

  async deleteImage(image: ImagePath): Promise<void> {
    this.#predictions.deleteImage(image);
    this.#files.deleteImage(image);
  }

  override async alarm(): Promise<void> {
    this.#storage.alarmCame();
    if (!this.#storage.isPrepared) return;
    const now = this.#dependencies().now();
    this.#predictions.forget(now);
    this.#predictions.storeAll();
    await this.#storage.expire(now);
  }

  /** Of this caller, or of another: whoever ordered the prediction was asked whether it may be read. */
  async #readAnyFile(id: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    const { PREDICTIONS: objects } = this.env;
    const named = objects && objectIdOf(objects, id);
    if (!named || named.equals(this.ctx.id)) {
      return await this.#files.read(id, `${this.ctx.id}`, signal);
    }
    const other = objects.get(named) as unknown as Predictions;
    return await settlingObject(other, this.#dependencies().config.deadlineMs).readFile(id);
  }

  /** A place among those who read what this names by its signed URL. @throws ApiError `too-many-requests` */
  #enter(
    { id, address: maker }: Pick<StoredPrediction, 'id' | 'address'>,
    { address }: Visitor,
  ): Place {
    return this.#visitors.enter(id, { address, isMaker: address === maker });
  }

  #dependencies(): Deps {
    this.#deps ??= this.dependencies();
    return this.#deps;
  }
}
