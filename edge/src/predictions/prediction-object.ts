/**
 * The Durable Object of one caller: makes the predictions, and stores them and the files for an hour. The work is done
 * here and not in the Worker, which ends soon after its reply: an object goes on while it waits for the GPU worker.
 */
import { DurableObject } from 'cloudflare:workers';
import { embeddingIdOf, type ImagePath, imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import type { Dependencies } from '../dependencies.ts';
import { beginGeneration, mostTokens } from '../generation/begin-generation.ts';
import { HEARTBEAT_MS, sseResponse } from '../http/sse.ts';
import { aboutImage } from '../image/image-field.ts';
import type { Account } from '../limits/account.ts';
import { logError, logWarning } from '../log.ts';
import type { Env } from '../platform.ts';
import { EVERY_USE, type RequestContext } from '../request-context.ts';
import type { Place } from '../turns/places.ts';
import {
  type Cursor,
  type FileContent,
  type NewFile,
  type Outcome,
  type Page,
  type PredictionOrder,
  type Predictions,
  STORED_MS,
  type StoredFile,
  type StoredPrediction,
  type Visitor,
  type Waiting,
} from './contract.ts';
import { FileTable } from './file-table.ts';
import { newId, randomHex } from './ids.ts';
import { PredictionTable } from './prediction-table.ts';
import { Run } from './run.ts';
import { eventsOf } from './stream-events.ts';
import { Visitors } from './visitors.ts';

/** Predictions of one caller that have not ended. */
const MAX_UNFINISHED = 64;
/** How long after its end a prediction is also the reply to the same request, which its client may have sent again. */
const REPEATED_MS = 5000;
const RETRY_AFTER_S = 1;

type Deps = Pick<
  Dependencies,
  | 'config'
  | 'deletions'
  | 'fetch'
  | 'gpu'
  | 'images'
  | 'limiter'
  | 'models'
  | 'now'
  | 'replyCache'
  | 'stores'
>;

export abstract class PredictionObject extends DurableObject<Env> implements Predictions {
  readonly #predictions: PredictionTable;
  readonly #files: FileTable;
  /** Those that have not ended, and those that ended a moment ago, by id. */
  readonly #runs = new Map<string, Run>();
  readonly #visitors = new Visitors();
  #deps: Deps | undefined;
  #isPrepared: boolean;
  /** Whether an alarm is set, as far as this instance knows. */
  #willExpire = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    this.#predictions = new PredictionTable(sql);
    this.#files = new FileTable(sql);
    // Nothing is written before there is something to store: whoever guesses at ids leaves nothing behind.
    this.#isPrepared =
      sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'files'").toArray()[0] !== undefined;
  }

  /** What predictions are made with: its own, since no two objects may wait for one connection. */
  protected abstract dependencies(): Deps;

  /**
   * One for which somebody waits is stored behind its reply, which has all of it, or when they have waited: before, nobody knows
   * its id, and the work begins at once.
   */
  async create(
    order: PredictionOrder,
    waiting: Waiting | null,
  ): Promise<Outcome<StoredPrediction>> {
    const deps = this.#dependencies();
    this.#forget(deps.now());
    const repeated = this.#repeated(order, deps.now());
    // Before anything is awaited: whoever leaves has waited.
    const isOver = waiting === null ? null : repeated?.wait(waiting);
    if (repeated !== undefined && !(await this.#isGone(repeated.prediction.image))) {
      // It may be one that there was not enough left for.
      const refused = await repeated.admitted;
      if (refused !== undefined) return { problem: refused.toProblem() };
      await isOver;
      if (!repeated.isStored && !repeated.hasEnded) this.#store(repeated);
      return { value: repeated.prediction };
    }
    const bytes = order.source.kind === 'bytes' ? order.source.bytes.length : 0;
    const refusal = this.#refusal(bytes, deps.config.maxHeldBytes);
    if (refusal !== undefined) return { problem: refusal.toProblem() };
    const account = this.#accountOf(order, deps);
    this.#prepare();
    const { model, version, input, fingerprint } = order;
    const prediction: StoredPrediction = {
      id: newId(this.ctx.id),
      model,
      version,
      input,
      status: 'starting',
      output: null,
      image: null,
      error: null,
      createdAt: deps.now(),
      startedAt: null,
      endedAt: null,
      token: randomHex(),
      address: order.sender.address,
    };
    const run = new Run(
      prediction,
      {
        fingerprint,
        bytes,
        number: this.#predictions.nextNumber(),
        requestId: order.context.requestId,
      },
      {
        now: deps.now,
        onEnd: (ended) => {
          if (ended.isAwaited) this.#storeSoon(ended);
          else this.#store(ended);
          this.ctx.waitUntil(this.#expireLater(prediction.createdAt));
        },
      },
    );
    if (waiting === null) this.#store(run);
    this.#runs.set(prediction.id, run);
    const ended = waiting === null ? null : run.wait(waiting);
    run.admitted = this.#admit(run, order, deps, account).catch((thrown: unknown) => {
      run.end({ status: 'canceled' });
      this.#runs.delete(prediction.id);
      this.#predictions.delete(prediction.id);
      return ApiError.from(thrown);
    });
    const refused = await run.admitted;
    if (refused !== undefined) return { problem: refused.toProblem() };
    this.ctx.waitUntil(this.#make(run, order, deps, account));
    await ended;
    if (!run.isStored && !run.hasEnded) this.#store(run);
    await this.#expireLater(prediction.createdAt);
    return { value: prediction };
  }

  async leave(waiter: string): Promise<void> {
    for (const run of this.#runs.values()) run.leave(waiter);
  }

  async find(id: string): Promise<StoredPrediction | null> {
    this.#runs.get(id)?.stay();
    return (await this.#find(id))?.prediction ?? null;
  }

  async cancel(id: string): Promise<StoredPrediction | null> {
    this.#runs.get(id)?.cancel();
    return await this.find(id);
  }

  async list(cursor: Cursor | null): Promise<Page> {
    if (!this.#isPrepared) return { predictions: [], older: null, newer: null };
    this.#storeAll();
    const page = this.#predictions.list(cursor, this.#dependencies().now());
    const predictions = await this.#withoutGone(page.predictions, ({ image }) => image);
    return { ...page, predictions: predictions.map((stored) => this.#asItIs(stored)) };
  }

  async stream(
    id: string,
    after: number,
    { token, address }: Visitor,
  ): Promise<Outcome<Response> | null> {
    const found = await this.#find(id);
    if (found === null || found.prediction.token !== token) return null;
    const run = this.#runs.get(id);
    const visitor = { address, isMaker: found.prediction.address === address };
    let place: Place;
    try {
      place = this.#visitors.enter(id, visitor);
    } catch (thrown) {
      return { problem: ApiError.from(thrown).toProblem() };
    }
    const left = new AbortController();
    const parts = run?.read(after, left.signal) ?? found.deltas.slice(after);
    const from = Math.min(after, run?.deltas.length ?? found.deltas.length);
    const value = await sseResponse(
      leaving(
        eventsOf(parts, from, () => run?.prediction ?? found.prediction),
        place.leave,
      ),
      {
        format: (text) => text,
        formatError: () => '',
        heartbeatMs: HEARTBEAT_MS,
        onCancel: () => {
          left.abort();
          place.leave();
        },
      },
    );
    return { value };
  }

  async putFile(file: NewFile): Promise<StoredFile> {
    this.#prepare();
    const createdAt = this.#dependencies().now();
    const id = newId(this.ctx.id);
    const stored = this.#files.put(file, { id, token: randomHex(), createdAt });
    await this.#expireLater(createdAt);
    return stored;
  }

  async findFile(id: string): Promise<StoredFile | null> {
    const file = this.#isPrepared ? this.#files.find(id, this.#dependencies().now()) : null;
    return file !== null && (await this.#isGone(sentAs(file))) ? null : file;
  }

  async listFiles(): Promise<StoredFile[]> {
    const files = this.#isPrepared ? this.#files.list(this.#dependencies().now()) : [];
    return await this.#withoutGone(files, sentAs);
  }

  async readFile(id: string): Promise<FileContent | null> {
    if ((await this.findFile(id)) === null) return null;
    return this.#files.read(id, this.#dependencies().now());
  }

  async downloadFile(
    id: string,
    { token, address }: Visitor,
  ): Promise<Outcome<FileContent> | null> {
    const file = await this.findFile(id);
    if (file === null || file.token !== token) return null;
    const visitor = { address, isMaker: file.address === address };
    try {
      using _place = this.#visitors.enter(id, visitor);
      const value = this.#files.read(id, this.#dependencies().now());
      return value && { value };
    } catch (thrown) {
      return { problem: ApiError.from(thrown).toProblem() };
    }
  }

  async deleteFile(id: string): Promise<boolean> {
    return this.#isPrepared && this.#files.delete(id);
  }

  async deleteImage(image: ImagePath): Promise<void> {
    if (!this.#isPrepared) return;
    for (const [id, { prediction, hasEnded }] of this.#runs) {
      if (hasEnded && prediction.image?.path === image) this.#runs.delete(id);
    }
    this.#predictions.deleteImage(image);
    this.#files.deleteImage(image);
  }

  /** Deletes what is an hour old; an object that has nothing left leaves nothing behind. */
  override async alarm(): Promise<void> {
    this.#willExpire = false;
    if (!this.#isPrepared) return;
    const now = this.#dependencies().now();
    this.#forget(now);
    this.#storeAll();
    const oldest = [this.#predictions.expire(now), this.#files.expire(now)].filter(
      (time) => time !== null,
    );
    if (oldest.length > 0) {
      await this.ctx.storage.setAlarm(Math.min(...oldest) + STORED_MS);
      return;
    }
    this.#isPrepared = false;
    await this.ctx.storage.deleteAll();
  }

  #dependencies(): Deps {
    this.#deps ??= this.dependencies();
    return this.#deps;
  }

  #prepare(): void {
    if (this.#isPrepared) return;
    this.#predictions.create();
    this.#files.create();
    this.#isPrepared = true;
  }

  /** Those, too, for which somebody waits. */
  #storeAll(): void {
    for (const run of this.#runs.values()) if (!run.isStored) this.#storeOrLog(run);
  }

  #store(run: Run): void {
    const { prediction, deltas, number } = run;
    if (run.isStored) this.#predictions.update(prediction, deltas);
    else this.#predictions.put(number, prediction, deltas);
    run.isStored = true;
  }

  /** Behind what is replied now, which would wait for the disk: until then it is read from memory. */
  #storeSoon(run: Run): void {
    const store = async () => {
      await scheduler.wait(0);
      // It may have been stored by now, and its image may have been deleted.
      if (!run.isStored && this.#runs.get(run.prediction.id) === run) this.#storeOrLog(run);
    };
    this.ctx.waitUntil(store());
  }

  /** Who has the reply needs no more; what else is asked of this object must not fail because of it. */
  #storeOrLog(run: Run): void {
    try {
      this.#store(run);
    } catch (thrown) {
      const { message } = thrown as Error;
      logWarning('prediction-not-stored', { request_id: run.requestId, message });
    }
  }

  async #expireLater(createdAt: number): Promise<void> {
    if (this.#willExpire) return;
    if ((await this.ctx.storage.getAlarm()) === null) {
      await this.ctx.storage.setAlarm(createdAt + STORED_MS);
    }
    this.#willExpire = true;
  }

  /** Drops from memory what ended a while ago: the table has it. */
  #forget(now: number): void {
    for (const [id, run] of this.#runs) {
      const { endedAt } = run.prediction;
      if (endedAt === null || now - endedAt <= REPEATED_MS) continue;
      this.#runs.delete(id);
      if (!run.isStored) this.#storeOrLog(run);
    }
  }

  /** What failed or was canceled is asked for anew, and so is what has ended where the request wants none that is so old. */
  #repeated({ fingerprint, context, sender }: PredictionOrder, now: number): Run | undefined {
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

  #refusal(bytes: number, maxHeldBytes: number): ApiError | undefined {
    const unfinished = [...this.#runs.values()].filter(({ hasEnded }) => !hasEnded);
    const held = unfinished.reduce((sum, run) => sum + run.bytes, 0);
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

  /** Whether an image was deleted after it was sent, by whoever may do so in its namespace. */
  async #isGone(image: StoredPrediction['image'] | undefined): Promise<boolean> {
    if (!image) return false;
    const { deletions } = this.#dependencies();
    return await deletions.hasDeleted(image.path, image.sentAt, this.#lookUpContext());
  }

  async #withoutGone<Entry>(
    entries: readonly Entry[],
    imageOf: (entry: Entry) => StoredPrediction['image'],
  ): Promise<Entry[]> {
    const gone = await Promise.all(entries.map((entry) => this.#isGone(imageOf(entry))));
    return entries.filter((_, index) => !gone[index]);
  }

  /** Of what is looked up for no request in particular. */
  #lookUpContext(): RequestContext {
    const startedAt = this.#dependencies().now();
    return {
      requestId: `${this.ctx.id}`,
      namespace: '',
      startedAt,
      signal: new AbortController().signal,
      deadlineAt: startedAt + this.#dependencies().config.deadlineMs,
      waitUntil: (work) => this.ctx.waitUntil(work),
    };
  }

  async #find(
    id: string,
  ): Promise<{ prediction: StoredPrediction; deltas: readonly string[] } | null> {
    if (!this.#isPrepared) return null;
    const now = this.#dependencies().now();
    this.#forget(now);
    const run = this.#runs.get(id);
    if (run !== undefined) return run;
    const stored = this.#predictions.find(id, now);
    if (await this.#isGone(stored?.prediction.image)) return null;
    return stored && { ...stored, prediction: this.#asItIs(stored.prediction) };
  }

  /** One that has not ended and is not being made was lost with an earlier instance of this object. */
  #asItIs(stored: StoredPrediction): StoredPrediction {
    const run = this.#runs.get(stored.id);
    if (run !== undefined) return run.prediction;
    if (stored.endedAt !== null) return stored;
    const error = 'The service was started anew before this prediction had ended: create it again.';
    return { ...stored, status: 'failed', error, endedAt: stored.createdAt };
  }

  #accountOf({ sender }: PredictionOrder, { limiter }: Deps): Account | undefined {
    const waitUntil = (work: Promise<unknown>) => this.ctx.waitUntil(work);
    return limiter.open({ ...sender, waitUntil });
  }

  /**
   * Takes what the prediction may need, so that whoever has not so much left learns it at once.
   * @throws ApiError `quota-exceeded`, `limits-unavailable`
   */
  async #admit(
    { prediction: { createdAt } }: Run,
    { source, prompt, context }: PredictionOrder,
    { config, models, stores }: Deps,
    account: Account | undefined,
  ): Promise<undefined> {
    if (account === undefined) return;
    let images = 0;
    if (source.kind === 'bytes' && account.limitsImages) {
      const path = imagePathOf(context.namespace, await imageIdOf(source.bytes));
      const id = await embeddingIdOf(path, prompt.instructionIds);
      const { kind } = await stores.query.cache.lookup(id, this.#lookUpContext());
      images = kind === 'hit' ? 0 : 1;
    }
    const tokens = mostTokens(models, prompt);
    await account.reserve({ tokens, images }, createdAt + config.deadlineMs);
  }

  async #make(
    run: Run,
    order: PredictionOrder,
    deps: Deps,
    account: Account | undefined,
  ): Promise<void> {
    try {
      await this.#makeWith(run, order, deps, account);
    } finally {
      account?.release();
    }
  }

  async #makeWith(
    run: Run,
    order: PredictionOrder,
    deps: Deps,
    account: Account | undefined,
  ): Promise<void> {
    const waitUntil = (work: Promise<unknown>) => this.ctx.waitUntil(work);
    const context: RequestContext = {
      ...order.context,
      ...(account && { account }),
      onImage: (path, sentAt) => {
        run.prediction.image = { path, sentAt };
      },
      signal: run.signal,
      deadlineAt: run.prediction.createdAt + deps.config.deadlineMs,
      waitUntil,
    };
    while (!run.hasEnded) {
      try {
        await generateInto(run, order, deps, context);
      } catch (thrown) {
        if (run.hasEnded) return;
        const error = ApiError.from(aboutImage(thrown, order.field));
        if (mayPass(error) && run.deltas.length === 0) {
          const ms = 1000 * (error.extras.retry_after ?? RETRY_AFTER_S);
          if (deps.now() + ms < context.deadlineAt) {
            await scheduler.wait(ms);
            continue;
          }
        }
        logFailure(error, order.context.requestId);
        run.end({ status: 'failed', error: error.message });
      }
    }
  }
}

async function* leaving<T>(events: AsyncIterable<T>, leave: () => void): AsyncGenerator<T> {
  try {
    yield* events;
  } finally {
    leave();
  }
}

function sentAs({ image: path, createdAt: sentAt }: StoredFile): StoredPrediction['image'] {
  // Files of a version before may still be there for an hour.
  return path === undefined ? null : { path, sentAt };
}

async function generateInto(
  run: Run,
  { source, prompt }: PredictionOrder,
  deps: Deps,
  context: RequestContext,
): Promise<void> {
  const { deltas } = await beginGeneration(deps, { source, prompt }, context);
  for await (const delta of deltas) {
    if (run.hasEnded) return;
    run.start();
    if (delta.type === 'delta') run.add(delta.text);
    if (delta.type === 'done') run.end({ status: 'succeeded', output: delta.generation.text });
  }
  // Ends every prediction, whatever a generation does.
  run.end({ status: 'failed', error: 'The text ended without its last part.' });
}

/** Who has to wait for a place waits here, and not its client. */
function mayPass({ slug }: ApiError): boolean {
  return ['too-many-requests', 'overloaded', 'shutting-down'].includes(slug);
}

function logFailure({ status, slug, message, cause }: ApiError, request_id: string): void {
  if (status < 500) return;
  const detail = cause instanceof Error ? (cause.stack ?? cause.message) : cause;
  const log = slug === 'internal-error' || slug === 'bad-gateway' ? logError : logWarning;
  log('problem', { request_id, slug, message, cause: detail });
}
