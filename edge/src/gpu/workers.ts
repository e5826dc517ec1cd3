/** All GPU workers behind this edge: each request goes to one that is likely to know its image, has time, and lives. */
import type { ImagePath } from '@blip2/shared/cache-key';
import type { WorkerAddress } from '@blip2/shared/config/worker-addresses';
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';
import type { ImageId } from '@blip2/shared/image-id';
import type { GpuTask, WorkerModel } from '@blip2/shared/wire';
import type { RequestContext } from '../request-context.ts';
import type { Place } from '../turns/places.ts';
import { Crowded, tooManyOfClient } from '../work-in-hand.ts';
import { Backend } from './backend.ts';
import { firstWithRoom } from './bounded-load.ts';
import {
  type BegunReply,
  GpuClient,
  type GpuClientOptions,
  type GpuReplyEvent,
  type GpuSource,
  LostConnection,
  routingKey,
} from './client.ts';
import { FirstEventTimes } from './first-event-times.ts';
import { byPreference } from './rendezvous.ts';
import { ReturnWatch } from './return-watch.ts';
import type { WorkerLoad } from './worker-load.ts';

/** What the rest of the edge asks of the GPU workers. */
export type Gpu = Pick<
  GpuWorkers,
  'run' | 'refusal' | 'isReady' | 'fingerprint' | 'model' | 'load' | 'dropImage'
>;

export type GpuWorkersOptions = Omit<GpuClientOptions, 'baseUrl'> & {
  addresses: readonly WorkerAddress[];
  /** Requests of this isolate that one worker has at a time; null for as many as there are. */
  requestsPerWorker?: number | null;
  /** Milliseconds that requests wait for a worker where all have just gone, before they are refused. */
  restartMs?: number;
  /** Whether a request that is slower to begin than 95 % of all is sent to a second worker as well. */
  hedges?: boolean;
};

const READY_ANSWER_MS = 2500;

/** Problems of one worker, which another one may not have. */
const OF_ONE_WORKER: ReadonlySet<ProblemSlug> = new Set([
  'worker-unavailable',
  'shutting-down',
  'model-mismatch',
]);

/** A reply that has begun, and whose it is. */
type Begun = { backend: Backend; place: Place; reply: BegunReply };

export class GpuWorkers {
  readonly #options: GpuWorkersOptions;
  readonly #backends: readonly Backend[];
  readonly #times = new FirstEventTimes();
  readonly #return: ReturnWatch;

  constructor(options: GpuWorkersOptions) {
    this.#options = options;
    const { now, restartMs = 0 } = options;
    this.#return = new ReturnWatch({ now, restartMs, answerMs: READY_ANSWER_MS });
    this.#backends = options.addresses.map(
      (address) => new Backend(address, new GpuClient({ ...options, baseUrl: address.url }), now),
    );
  }

  /**
   * The events of the reply; `done` is the last. Leaving the loop early, or aborting the context's signal, ends the request
   * at its worker.
   *
   * Images have workers that they prefer (`byPreference`), so that caches of workers are used; one that has more than its
   * share of requests, has failed or serves another revision is passed over. A request that fails before its first event, for
   * a reason that another worker may not have, is sent to another one, once; where no other is left and its connection
   * broke, to the first that is there again: a worker that was killed and is started again costs a wait.
   * @param source absent for texts alone
   * @param onBegun gets the fingerprint of the worker that replies, where it says one, before its first event
   * @throws ApiError the worker's own problem, or `worker-unavailable`, `bad-gateway`, `deadline-exceeded`,
   *   `no-retrieval-model`
   * @example
   * const task = { kind: 'embed', embedding: 'query' } as const;
   * for await (const event of gpu.run(task, { type: 'image', payload: bytes }, context)) …
   */
  async *run(
    task: GpuTask,
    source: GpuSource | null,
    context: RequestContext,
    onBegun?: (fingerprint: string | undefined) => void,
  ): AsyncGenerator<GpuReplyEvent, void, undefined> {
    // What waits for a worker has that one's bounds.
    context.work?.leave();
    const begun = await this.#begin(task, source, context);
    const { backend, reply } = begun;
    // It counts no longer than its request lives, also where this is never left.
    using _place = begun.place;
    try {
      onBegun?.(reply.fingerprint);
      yield* reply.events;
    } catch (thrown) {
      this.#blame(backend, thrown);
      throw thrown;
    }
  }

  /** Why no worker may have one more request of a client now; null where one may. */
  refusal(context: Pick<RequestContext, 'client'>): ApiError | null {
    const now = this.#options.now();
    const usable = this.#backends.filter((backend) => backend.isUsable(now));
    // Those that are gone may come back.
    const asked = usable.length > 0 ? usable : this.#backends;
    const refusals = asked.map((backend) => this.#refusalAt(backend, context));
    return refusals.includes(null) ? null : (refusals[0] ?? null);
  }

  /** Why a worker may not have one more request. As the worker counts: one client alone has half of its places, two have a third each. */
  #refusalAt(backend: Backend, context: Pick<RequestContext, 'client'>): ApiError | null {
    const { requestsPerWorker: most = null } = this.#options;
    if (most === null) return null;
    const client = clientOf(context);
    const own = backend.inFlightOf(client);
    const free = most - backend.inFlight;
    if (own > 0 && own >= free) return tooManyOfClient(client, own);
    return free > 0 ? null : tooMany();
  }

  /** Whether any worker is ready. @throws ApiError `worker-unavailable` where none can be reached */
  async isReady(): Promise<boolean> {
    const answers = await Promise.allSettled(this.#backends.map(({ client }) => client.isReady()));
    if (answers.some((answer) => answer.status === 'fulfilled' && answer.value)) return true;
    const refused = answers.find((answer) => answer.status === 'rejected');
    if (refused && answers.every(({ status }) => status === 'rejected')) throw refused.reason;
    return false;
  }

  /**
   * The fingerprint of the worker that requests about an image go to now, as far as it is known. Never rejects.
   * @param key the image's id
   */
  async fingerprint(key: ImageId): Promise<string | undefined> {
    return await this.#choose(byPreference(this.#backends, key), new Set()).client.fingerprint();
  }

  /**
   * What a worker of this edge's revision and preprocessing serves, or else any: while versions change there are workers of two.
   * @throws ApiError `worker-unavailable`, or `bad-gateway`, where none answers
   */
  async model(): Promise<WorkerModel> {
    const { revision, preprocessing } = this.#options.models.generate;
    const answers = this.#backends.map(({ client }) => client.model());
    const own = answers.map(async (answer) => {
      const model = await answer;
      const isOther = ![preprocessing, undefined].includes(model.preprocessing);
      if (model.revision !== revision || isOther) throw new Error('another model');
      return model;
    });
    return await Promise.any(own).catch(() =>
      Promise.any(answers).catch((error: AggregateError) => {
        throw error.errors[0];
      }),
    );
  }

  /** What all have served since they started, and what waits; of those that answer. @throws ApiError where none does */
  async load(): Promise<WorkerLoad> {
    const answers = await Promise.allSettled(this.#backends.map(({ client }) => client.load()));
    const loads = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (loads.length === 0) throw (answers[0] as PromiseRejectedResult).reason;
    return loads.reduce((sum, load) => ({
      requests: sum.requests + load.requests,
      seconds: sum.seconds + load.seconds,
      waiting: sum.waiting + load.waiting,
    }));
  }

  /**
   * Drops what each worker has cached of an image: features, and the beginnings of prompts about it.
   * @throws ApiError `worker-unavailable`, or `bad-gateway` for a worker that does not know how
   */
  async dropImage(path: ImagePath, context: RequestContext): Promise<void> {
    await Promise.all(this.#backends.map(({ client }) => client.dropImage(path, context)));
  }

  async #begin(task: GpuTask, source: GpuSource | null, context: RequestContext): Promise<Begun> {
    const order = this.#orderOf(routingKey(task, source, context), context);
    const tried = new Set<Backend>();
    const begin = (backend: Backend) => {
      tried.add(backend);
      return this.#beginAt(backend, task, source, context);
    };
    const next = () => this.#choose(order, tried, context);
    const hasNext = () => this.#hasUsable(order, tried, context);
    for (let failures = 0; ; ) {
      try {
        return await (tried.size === 0
          ? this.#hedged(begin, next, hasNext, context)
          : begin(next()));
      } catch (thrown) {
        if (!isOfOneWorker(thrown) || context.signal.aborted) throw thrown;
        // To be asked by an edge of another version is no failure: while versions change there may be many of these.
        if (thrown.slug !== 'model-mismatch') failures += 1;
        if (failures < 2 && hasNext()) continue;
        if (!(thrown instanceof LostConnection) || failures > 1) throw thrown;
        const anyone = () => this.#choose(order, new Set(), context);
        const back = await this.#return.comesBack(order, anyone, context);
        if (back === null) throw thrown;
        return await begin(back);
      }
    }
  }

  async #beginAt(
    backend: Backend,
    task: GpuTask,
    source: GpuSource | null,
    context: RequestContext,
  ): Promise<Begun> {
    const { now } = this.#options;
    const startedAt = now();
    const refusal = this.#refusalAt(backend, context);
    if (refusal !== null) throw refusal;
    const place = backend.begin(context);
    try {
      const reply = await backend.client.begin(task, source, context);
      backend.succeeded();
      this.#return.heard();
      this.#times.record(now() - startedAt);
      return { backend, place, reply };
    } catch (thrown) {
      place.leave();
      this.#blame(backend, thrown);
      throw thrown;
    }
  }

  /** Begins at one worker, and at another one as well where the first is slower than nearly all: the first event decides. */
  async #hedged(
    begin: (backend: Backend) => Promise<Begun>,
    next: () => Backend,
    hasNext: () => boolean,
    context: RequestContext,
  ): Promise<Begun> {
    const { waitUntil } = context;
    const first = begin(next());
    const afterMs = this.#options.hedges ? this.#times.p95() : null;
    if (afterMs === null) return await first;
    const timer = Promise.withResolvers<'late'>();
    const timeout = setTimeout(() => timer.resolve('late'), afterMs);
    const early = await Promise.race([first.then(() => 'here' as const), timer.promise]).finally(
      () => clearTimeout(timeout),
    );
    if (early === 'here' || !hasNext()) return await first;
    const both = [first, begin(next())];
    const winner = await Promise.any(both).catch(async () => await first);
    for (const other of both) {
      const ending = other.then(
        ({ place, reply }) => {
          if (reply === winner.reply) return;
          place.leave();
          reply.end();
        },
        () => {},
      );
      waitUntil(ending);
    }
    return winner;
  }

  /** All workers by preference for a key, those of the caller's zone before others. */
  #orderOf(key: string, { zone }: RequestContext): Backend[] {
    const order = byPreference(this.#backends, key);
    if (zone === undefined) return order;
    const isNear = (backend: Backend) => backend.zone === null || backend.zone === zone;
    return [...order.filter(isNear), ...order.filter((backend) => !isNear(backend))];
  }

  #hasUsable(
    order: readonly Backend[],
    tried: ReadonlySet<Backend>,
    context: Pick<RequestContext, 'client'>,
  ): boolean {
    const now = this.#options.now();
    return order.some(
      (backend) =>
        !tried.has(backend) && backend.isUsable(now) && this.#refusalAt(backend, context) === null,
    );
  }

  /**
   * The first that is usable, may have the request and has no more than its share; where none may, the first that is usable,
   * which refuses it; where none is usable, the first that was not tried.
   */
  #choose(
    order: readonly Backend[],
    tried: ReadonlySet<Backend>,
    context?: Pick<RequestContext, 'client'>,
  ): Backend {
    const { now } = this.#options;
    const left = order.filter((backend) => !tried.has(backend));
    // One that is alone is tried, not asked.
    if (order.length > 1) {
      for (const backend of left) backend.askAgain(now, READY_ANSWER_MS).catch(() => {});
    }
    const usable = left.filter((backend) => backend.isUsable(now()));
    const open =
      context === undefined
        ? usable
        : usable.filter((backend) => this.#refusalAt(backend, context) === null);
    return firstWithRoom(open) ?? usable[0] ?? left[0] ?? (order[0] as Backend);
  }

  #blame(backend: Backend, thrown: unknown): void {
    if (!isOfOneWorker(thrown)) return;
    const now = this.#options.now();
    if (thrown.slug === 'model-mismatch') backend.isOther(now);
    else backend.failed(now);
  }
}

/**
 * To be called before anything is read or looked up for a request that needs a worker in any case.
 * @throws ApiError as `run` where no worker may have one more request
 */
export function expectRoom(gpu: Pick<Gpu, 'refusal'>, context: RequestContext): void {
  const refusal = gpu.refusal(context);
  if (refusal !== null) throw refusal;
}

const clientOf = ({ client = '' }: Pick<RequestContext, 'client'>) => client;

function tooMany(): Crowded {
  return new Crowded('Too many requests wait for the GPU worker: try again.');
}

function isOfOneWorker(thrown: unknown): thrown is ApiError {
  return thrown instanceof ApiError && OF_ONE_WORKER.has(thrown.slug);
}
