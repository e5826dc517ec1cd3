/** Creates predictions: what was asked for a moment ago is the same prediction; another is admitted, and then made. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../dependencies.ts';
import type { Account } from '../limits/account.ts';
import { admitPrediction } from './admit-prediction.ts';
import type { CallerPredictions } from './caller-predictions.ts';
import type { CallerStorage } from './caller-storage.ts';
import type {
  Outcome,
  PredictionOrder,
  PredictionSource,
  StoredPrediction,
  Waiting,
} from './contract.ts';
import type { DeletedImages } from './deleted-images.ts';
import type { ReadFile } from './file-image.ts';
import { newId, randomHex } from './ids.ts';
import { type MakingDeps, makePrediction } from './make-prediction.ts';
import { Run } from './run.ts';
import type { Runs } from './runs.ts';

export type CreationDeps = MakingDeps & Pick<Dependencies, 'limiter'>;

type Parts = {
  deps: () => CreationDeps;
  object: Pick<DurableObjectState, 'id' | 'waitUntil'>;
  storage: CallerStorage;
  runs: Runs;
  predictions: CallerPredictions;
  deleted: DeletedImages;
  readFile: ReadFile;
};

export class PredictionCreator {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * One for which somebody waits is stored behind its reply, which has all of it, or when they have waited: before, nobody knows
   * its id, and the work begins at once.
   */
  async create(
    order: PredictionOrder,
    waiting: Waiting | null,
  ): Promise<Outcome<StoredPrediction>> {
    const { runs, predictions, deleted } = this.#parts;
    const { now } = this.#parts.deps();
    predictions.forget(now());
    const repeated = runs.repeated(order, now());
    // Before anything is awaited: whoever leaves has waited.
    const isOver = waiting === null ? null : repeated?.wait(waiting);
    if (repeated === undefined || (await deleted.isGone(repeated.prediction.image))) {
      return await this.#createNew(order, waiting);
    }
    // It may be one that there was not enough left for.
    const refused = await repeated.admitted;
    if (refused !== undefined) return { problem: refused.toProblem() };
    if (waiting === null) repeated.hold();
    await isOver;
    if (!repeated.isStored && !repeated.hasEnded) predictions.store(repeated);
    return { value: repeated.prediction };
  }

  async #createNew(
    order: PredictionOrder,
    waiting: Waiting | null,
  ): Promise<Outcome<StoredPrediction>> {
    const { object, storage, runs, predictions, readFile } = this.#parts;
    const deps = this.#parts.deps();
    const bytes = bytesOf(order.source);
    const refusal = runs.refusal(bytes, deps.config.maxHeldBytes);
    if (refusal !== undefined) return { problem: refusal.toProblem() };
    const waitUntil = (work: Promise<unknown>) => object.waitUntil(work);
    const account = deps.limiter.open({ ...order.sender, waitUntil });
    storage.prepare();
    const run = this.#newRun(order, bytes);
    if (waiting === null) {
      run.hold();
      predictions.store(run);
    }
    runs.add(run);
    const isOver = waiting === null ? null : run.wait(waiting);
    run.admitted = this.#admit(run, order, account);
    const refused = await run.admitted;
    if (refused !== undefined) return { problem: refused.toProblem() };
    const made = makePrediction(run, order, deps, { account, waitUntil, readFile });
    waitUntil(runs.during(run, made));
    await isOver;
    if (!run.isStored && !run.hasEnded) predictions.store(run);
    await storage.expireLater(run.prediction.createdAt);
    return { value: run.prediction };
  }

  #newRun(order: PredictionOrder, bytes: number): Run {
    const { object, storage, predictions } = this.#parts;
    const { now } = this.#parts.deps();
    const { fingerprint, context } = order;
    const number = storage.predictions.nextNumber();
    const prediction = newPrediction(order, newId(object.id), now());
    return new Run(
      prediction,
      { fingerprint, bytes, number, requestId: context.requestId },
      {
        now,
        onEnd: (ended) => {
          if (ended.isAwaited) predictions.storeSoon(ended);
          else predictions.store(ended);
          object.waitUntil(storage.expireLater(prediction.createdAt));
        },
      },
    );
  }

  /** @returns why it may not begin; it is deleted then */
  async #admit(
    run: Run,
    order: PredictionOrder,
    account: Account | undefined,
  ): Promise<ApiError | undefined> {
    const { deps, object, predictions } = this.#parts;
    try {
      if (account !== undefined) await admitPrediction(run, order, deps(), account, object);
      return undefined;
    } catch (thrown) {
      run.end({ status: 'canceled' });
      predictions.delete(run.prediction.id);
      return ApiError.from(thrown);
    }
  }
}

/** How many its image has in memory until it ends, as far as that is known. */
function bytesOf(source: PredictionSource): number {
  if (source.kind === 'file') return source.size;
  return source.kind === 'bytes' ? source.bytes.length : 0;
}

function newPrediction(
  { model, version, input, sender }: PredictionOrder,
  id: string,
  createdAt: number,
): StoredPrediction {
  return {
    ...{ id, model, version, input },
    status: 'starting',
    output: null,
    image: null,
    error: null,
    createdAt,
    startedAt: null,
    endedAt: null,
    token: randomHex(),
    address: sender.address,
  };
}
