/** The client of one GPU worker: a request of frames out, its reply as a stream of checked events. */
import { type ImagePath, partsOf } from '@blip2/shared/cache-key';
import { ApiError, Problem } from '@blip2/shared/errors';
import {
  encodeFrame,
  encodeJsonFrame,
  FRAMES_MEDIA_TYPE,
  type Frame,
  FrameError,
  readFrames,
} from '@blip2/shared/frames';
import { decodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import type { ImageId } from '@blip2/shared/image-id';
import {
  IMAGE_HEADER,
  REQUEST_SIGNATURE_HEADER,
  signRequest,
} from '@blip2/shared/request-signature';
import { route } from '@blip2/shared/route';
import { noRetrievalModel, type ServedModels } from '@blip2/shared/served-models';
import { TRACEPARENT_HEADER, type TraceContext, traceparentOf } from '@blip2/shared/traceparent';
import {
  FINGERPRINT_HEADER,
  fingerprintFrom,
  type GpuRequest,
  type GpuTask,
  WorkerModel,
} from '@blip2/shared/wire';
import type { RequestContext } from '../request-context.ts';
import { contextToSend, inSpan } from '../tracing.ts';
import { Liveness, type LivenessOptions, type LivenessWatch } from './liveness.ts';
import { WorkerIdentity } from './worker-identity.ts';
import { loadFrom, type WorkerLoad } from './worker-load.ts';

/** An event of a reply; problems are thrown. */
export type GpuReplyEvent = Exclude<GpuEvent, { type: 'error' }>;

/** The source of a task: an image, or its encoded embeddings. */
export type GpuSource = {
  type: 'image' | 'embeddings';
  payload: Uint8Array;
  /** Which image it is, or is of: requests about one image go to one worker. */
  imageId?: ImageId;
};

export type GpuClientOptions = LivenessOptions & {
  models: ServedModels;
  /** Milliseconds after the deadline, which the worker enforces itself, until it counts as unavailable. */
  graceMs?: number;
  /** Signs what is asked of the worker; the first of those that are live, none where the worker expects none. */
  secret?: string | undefined;
};

/** A reply whose first event is here. */
export type BegunReply = {
  /** Of the worker that replies. */
  fingerprint: string | undefined;
  /**
   * All events; `done` is the last. Leaving the loop early ends the request at the worker, and its connection; a reply that
   * is read to its end leaves the connection to the next request.
   */
  events: AsyncGenerator<GpuReplyEvent, void, undefined>;
  /** Ends the request at the worker, whether its events have been read or not. */
  end: () => void;
};

/** What ends one exchange with the worker, and what watches it. */
type Exchange = Disposable & {
  watch: LivenessWatch;
  /** Aborts it. */
  end: () => void;
  /** The problem that a failure of it is. */
  explain: (thrown: unknown) => unknown;
  signal: AbortSignal;
};

/** The connection to the worker broke, or never was: nobody has refused the request. */
export class LostConnection extends ApiError {}

const RETRY_AFTER_S = 5;
const GRACE_MS = 1000;
const PROBE_TIMEOUT_MS = 2000;
/** How long a reply may take to end once it is done: longer than that, and another connection is cheaper. */
const END_MS = 250;

export class GpuClient {
  readonly #options: GpuClientOptions;
  readonly #liveness: Liveness;
  readonly #identity: WorkerIdentity;

  constructor(options: GpuClientOptions) {
    this.#options = options;
    this.#liveness = new Liveness(options);
    this.#identity = new WorkerIdentity({
      now: options.now,
      ask: async () => (await this.model()).fingerprint,
    });
  }

  /**
   * Sends a request, and waits for the first event of the reply. Aborting the context's signal ends it. A worker that is
   * silent for seconds is asked whether it lives.
   * @param source absent for texts alone
   * @throws ApiError the worker's own problem, or `worker-unavailable`, `bad-gateway`, `deadline-exceeded`,
   *   `no-retrieval-model`; `LostConnection` where nobody has refused it
   */
  async begin(
    task: GpuTask,
    source: GpuSource | null,
    context: RequestContext,
  ): Promise<BegunReply> {
    return await inSpan('ask GPU worker', async (span) => {
      span?.setAttribute('task', task.kind);
      span?.setAttribute('source', source?.type ?? 'texts');
      const trace = contextToSend(span, context.trace);
      return await this.#begin(task, source, { ...context, trace });
    });
  }

  async #begin(
    task: GpuTask,
    source: GpuSource | null,
    context: RequestContext & { trace: TraceContext },
  ): Promise<BegunReply> {
    const request = this.#requestOf(task, context);
    const exchange = this.#exchange(request, context);
    try {
      exchange.watch.waiting();
      const body = new Blob([
        encodeJsonFrame('request', request),
        ...(source ? [encodeFrame(source.type, source.payload)] : []),
      ]);
      const response = await this.#fetch('/v1/run', {
        method: 'POST',
        headers: new Headers({
          'content-type': FRAMES_MEDIA_TYPE,
          'x-request-id': context.requestId,
          [IMAGE_HEADER]: routingKey(task, source, context),
          [TRACEPARENT_HEADER]: traceparentOf(context.trace),
        }),
        body,
        signal: exchange.signal,
      });
      if (!response.ok || response.body === null) throw await replyError(response);
      const frames = readFrames(response.body);
      const first = await nextEvent(frames, exchange.watch);
      const fingerprint = fingerprintFrom(response.headers.get(FINGERPRINT_HEADER));
      this.#identity.observe(fingerprint);
      const events = eventsOf(first, frames, exchange);
      const end = () => {
        exchange.end();
        exchange[Symbol.dispose]();
      };
      return { fingerprint, events, end };
    } catch (thrown) {
      exchange[Symbol.dispose]();
      throw exchange.explain(thrown);
    }
  }

  #exchange({ deadline_ms }: GpuRequest, { signal: client }: RequestContext): Exchange {
    const { graceMs = GRACE_MS } = this.#options;
    const deadline = AbortSignal.timeout(deadline_ms + graceMs);
    const ended = new AbortController();
    const watch = this.#liveness.watch((problem) => ended.abort(problem));
    return {
      watch,
      signal: AbortSignal.any([client, deadline, ended.signal]),
      end: () => ended.abort(),
      explain: (thrown) => {
        // Why we ended it, whatever name the platform gives to that.
        const reason = ended.signal.reason instanceof ApiError ? ended.signal.reason : thrown;
        return explained(reason, client, deadline);
      },
      [Symbol.dispose]: () => watch[Symbol.dispose](),
    };
  }

  /** @throws ApiError `worker-unavailable` */
  async isReady(): Promise<boolean> {
    const response = await this.#probe('/readyz');
    await response.body?.cancel();
    return response.ok;
  }

  /** The fingerprint of the worker that is there now, as far as it is known. Never rejects. */
  async fingerprint(): Promise<string | undefined> {
    return await this.#identity.current();
  }

  /** @throws ApiError `worker-unavailable`, or `bad-gateway` for a reply of another shape */
  async model(): Promise<WorkerModel> {
    const response = await this.#probe('/v1/model');
    const result = WorkerModel.safeParse(await response.json().catch(() => null));
    if (result.success) return result.data;
    throw new ApiError('bad-gateway', 'The GPU worker does not report what it serves.');
  }

  /** What it has served since it started, and what waits. @throws ApiError `worker-unavailable` */
  async load(): Promise<WorkerLoad> {
    return loadFrom(await (await this.#probe('/metrics')).text());
  }

  /**
   * Drops what the worker has cached of an image: features, and the beginnings of prompts about it.
   * @throws ApiError `worker-unavailable`, or `bad-gateway` for a worker that does not know how
   */
  async dropImage(path: ImagePath, { namespace, requestId }: RequestContext): Promise<void> {
    const query = namespace === '' ? '' : `?namespace=${namespace}`;
    const response = await this.#probe(`/v1/images/${partsOf(path).imageId}${query}`, {
      method: 'DELETE',
      headers: { 'x-request-id': requestId },
    });
    await response.body?.cancel();
    if (response.status === 204) return;
    if (response.status >= 500) throw unavailable('The GPU worker cannot be reached.');
    throw new ApiError('bad-gateway', `The GPU worker replied with status ${response.status}.`);
  }

  #requestOf(
    task: GpuTask,
    { requestId, client, namespace, deadlineAt }: RequestContext,
  ): GpuRequest {
    const { models, now } = this.#options;
    const model = models[route(task)];
    if (model === undefined) throw noRetrievalModel();
    const deadline_ms = Math.round(deadlineAt - now());
    if (deadline_ms <= 0) {
      throw new ApiError('deadline-exceeded', 'No time was left for the GPU worker.');
    }
    const { revision, preprocessing } = model;
    const head = { request_id: requestId, revision, preprocessing, deadline_ms };
    return {
      ...task,
      ...head,
      ...(client === undefined ? {} : { client }),
      ...(namespace === '' ? {} : { namespace }),
    };
  }

  async #probe(
    path: string,
    { method = 'GET', headers = {} }: RequestInit = {},
  ): Promise<Response> {
    try {
      const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
      return await this.#fetch(path, { method, headers: new Headers(headers), signal });
    } catch (cause) {
      throw unavailable('The GPU worker cannot be reached.', cause);
    }
  }

  async #fetch(path: string, init: Init): Promise<Response> {
    const { baseUrl, fetch, secret, now } = this.#options;
    const { method, headers, body } = init;
    if (secret !== undefined) {
      const request = { method, path, headers, length: body?.size ?? 0 };
      headers.set(REQUEST_SIGNATURE_HEADER, await signRequest(secret, request, now()));
    }
    return await fetch(`${baseUrl}${path}`, init);
  }
}

type Init = { method: string; headers: Headers; body?: Blob; signal: AbortSignal };

/** By what requests are sent to workers: those about one image to one of them, others anywhere. */
export function routingKey(
  task: GpuTask,
  source: GpuSource | null,
  { requestId }: Pick<RequestContext, 'requestId'>,
): string {
  const imageId = task.kind === 'generate' ? task.image_id : undefined;
  return source?.imageId ?? imageId ?? requestId;
}

async function* eventsOf(
  first: GpuReplyEvent,
  frames: AsyncGenerator<Frame, void, undefined>,
  exchange: Exchange,
): AsyncGenerator<GpuReplyEvent, void, undefined> {
  using _exchange = exchange;
  try {
    for (let event = first; ; event = await nextEvent(frames, exchange.watch)) {
      yield event;
      if (event.type !== 'done') continue;
      await endOf(frames, exchange);
      return;
    }
  } catch (thrown) {
    throw exchange.explain(thrown);
  } finally {
    // Does nothing for a reply that has ended.
    await frames.return().catch(() => {});
  }
}

/** @throws ApiError the worker's problem, or that of a reply which ends before it is done */
async function nextEvent(
  frames: AsyncGenerator<Frame, void, undefined>,
  watch: LivenessWatch,
): Promise<GpuReplyEvent> {
  watch.waiting();
  const { value: frame } = await frames.next();
  watch.received();
  if (!frame) throw lost('The GPU worker ended its reply too early.');
  const event = decodeEvent(frame);
  if (event.type === 'error') throw ApiError.fromProblem(event.problem);
  return event;
}

/** Waits for the end of a reply that is done; what else it may hold, or how it breaks, no longer matters. */
async function endOf(frames: AsyncGenerator<unknown>, { end }: Exchange): Promise<void> {
  const timer = setTimeout(end, END_MS);
  await frames.next().catch(() => {});
  clearTimeout(timer);
}

/** The problem that a failed exchange with the worker is. @param signal the client's */
function explained(thrown: unknown, signal: AbortSignal, deadline: AbortSignal): unknown {
  if (thrown instanceof ApiError) return thrown;
  if (deadline.aborted) {
    const detail = 'The GPU worker did not finish in time.';
    return new ApiError('deadline-exceeded', detail, { cause: thrown });
  }
  if (signal.aborted) return thrown;
  if (thrown instanceof FrameError && thrown.code !== 'truncated') {
    const detail = `The GPU worker sent an invalid reply: ${thrown.message}.`;
    return new ApiError('bad-gateway', detail, { cause: thrown });
  }
  return lost('The connection to the GPU worker failed.', thrown);
}

/** A reply that is no stream of frames. */
async function replyError(response: Response): Promise<ApiError> {
  const problem = Problem.safeParse(await response.json().catch(() => null));
  if (response.status === 401) {
    const detail =
      'The GPU worker refuses what the edge signs: GPU_WORKER_SECRET and BLIP2_WORKER_SECRET must have a secret in common, and the clocks must agree.';
    return new ApiError('bad-gateway', detail);
  }
  if (problem.success) {
    const error = ApiError.fromProblem(problem.data);
    // The worker has these routes: the reply comes from something else.
    if (error.slug !== 'not-found' && error.slug !== 'method-not-allowed') return error;
  }
  if (response.status === 403 || (response.status >= 300 && response.status < 400)) {
    const detail =
      'What is before the GPU worker refuses the edge, as Cloudflare Access does: set GPU_ACCESS_TOKEN to a service token that its policy includes.';
    return new ApiError('bad-gateway', detail);
  }
  // A refusal that comes before the request has been read may be cut off.
  if (response.status === 429) {
    const detail = 'The GPU worker takes no more requests of this client now. Try again shortly.';
    return new ApiError('too-many-requests', detail, { retry_after: 1 });
  }
  // The edge was too slow to send it.
  if (response.status === 408) {
    const detail = 'The request reached the GPU worker too slowly. Try again.';
    return new ApiError('deadline-exceeded', detail);
  }
  // A proxy in front of the worker replies for it when it is gone.
  if (response.status >= 500) return unavailable('The GPU worker cannot be reached.');
  return new ApiError('bad-gateway', `The GPU worker replied with status ${response.status}.`);
}

function lost(detail: string, cause?: unknown): LostConnection {
  return new LostConnection('worker-unavailable', detail, { retry_after: RETRY_AFTER_S, cause });
}

function unavailable(detail: string, cause?: unknown): ApiError {
  return new ApiError('worker-unavailable', detail, { retry_after: RETRY_AFTER_S, cause });
}
