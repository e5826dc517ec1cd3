/** Talks to the GPU worker: one request of frames, a stream of checked events back. */
import { ApiError, Problem } from '@blip2/shared/errors';
import {
  decodeJson,
  decodeTokens,
  encodeFrame,
  encodeJsonFrame,
  FRAMES_MEDIA_TYPE,
  type Frame,
  readFrames,
  type TokensPayload,
} from '@blip2/shared/frames';
import {
  GpuDone,
  type GpuRequest,
  GpuScores,
  GpuTexts,
  ImageInfo,
  type MatchScore,
  WorkerModel,
} from '@blip2/shared/wire';

export type GpuEvent =
  | { type: 'image'; image: ImageInfo }
  /** An encoded value (`embedding-codec.ts`). */
  | { type: 'embeddings'; embeddings: Uint8Array<ArrayBuffer> }
  | ({ type: 'tokens' } & TokensPayload)
  | { type: 'scores'; scores: MatchScore[] }
  | { type: 'texts'; embeddings: number[][] }
  | { type: 'done'; done: GpuDone };

/** What goes with the request: the image, or its embeddings. */
export type Attachment = { type: 'image' | 'embeddings'; payload: Uint8Array };

const RETRY_AFTER_S = 5;
/** The worker's own deadline comes first; this is for a worker that no longer answers. */
const GRACE_MS = 1000;
const PROBE_TIMEOUT_MS = 2000;

export class GpuClient {
  readonly #base: string;

  /** @param base URL of the worker, without a trailing slash */
  constructor(base: string) {
    this.#base = base;
  }

  /**
   * Ends with `done`. Leaving the loop early, or aborting the signal, ends the request at the worker.
   * @throws ApiError the worker's own problem, `worker-unavailable`, `bad-gateway` or `deadline-exceeded`
   */
  async *run(
    request: GpuRequest,
    attachment: Attachment | null,
    signal: AbortSignal,
  ): AsyncGenerator<GpuEvent, void, undefined> {
    const deadline = AbortSignal.timeout(request.deadline_ms + GRACE_MS);
    try {
      const response = await fetch(`${this.#base}/v1/run`, {
        method: 'POST',
        headers: { 'content-type': FRAMES_MEDIA_TYPE, 'x-request-id': request.request_id },
        body: new Blob([
          encodeJsonFrame('request', request),
          ...(attachment ? [encodeFrame(attachment.type, attachment.payload)] : []),
        ]),
        signal: AbortSignal.any([signal, deadline]),
      });
      if (!response.ok || response.body === null) throw await replyError(response);
      for await (const frame of readFrames(response.body)) {
        const event = toEvent(frame);
        yield event;
        if (event.type === 'done') return;
      }
    } catch (thrown) {
      if (thrown instanceof ApiError) throw thrown;
      if (deadline.aborted) {
        throw new ApiError('deadline-exceeded', 'The GPU worker did not finish in time.', {
          cause: thrown,
        });
      }
      if (signal.aborted) throw thrown;
      throw isNonsense(thrown)
        ? new ApiError('bad-gateway', 'The GPU worker gave a reply that could not be read.', {
            cause: thrown,
          })
        : unavailable('The GPU worker cannot be reached.', thrown);
    }
    throw unavailable('The GPU worker ended its reply too early.');
  }

  /** @throws ApiError `worker-unavailable` */
  async isReady(): Promise<boolean> {
    const response = await this.#probe('/readyz');
    await response.body?.cancel();
    return response.ok;
  }

  /** @throws ApiError `worker-unavailable` */
  async model(): Promise<WorkerModel> {
    const response = await this.#probe('/v1/model');
    const result = WorkerModel.safeParse(await response.json().catch(() => null));
    if (!result.success) throw unavailable('The GPU worker does not say what it serves.');
    return result.data;
  }

  async #probe(path: string): Promise<Response> {
    try {
      return await fetch(`${this.#base}${path}`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    } catch (cause) {
      throw unavailable('The GPU worker cannot be reached.', cause);
    }
  }
}

function toEvent({ type, payload }: Frame): GpuEvent {
  switch (type) {
    case 'imageInfo':
      return { type: 'image', image: ImageInfo.parse(decodeJson(payload)) };
    case 'embeddings':
      // A copy: the frame may be a view of a larger chunk.
      return { type: 'embeddings', embeddings: payload.slice() };
    case 'tokens':
      return { type: 'tokens', ...decodeTokens(payload) };
    case 'scores':
      return { type: 'scores', ...GpuScores.parse(decodeJson(payload)) };
    case 'texts':
      return { type: 'texts', ...GpuTexts.parse(decodeJson(payload)) };
    case 'done':
      return { type: 'done', done: GpuDone.parse(decodeJson(payload)) };
    case 'error':
      throw ApiError.fromProblem(Problem.parse(decodeJson(payload)));
    default:
      throw new ApiError('bad-gateway', `The GPU worker sent an unexpected ${type} frame.`);
  }
}

/** A reply that is no stream of frames. */
async function replyError(response: Response): Promise<ApiError> {
  const problem = Problem.safeParse(await response.json().catch(() => null));
  if (problem.success) return ApiError.fromProblem(problem.data);
  // A proxy in front of the worker speaks for it when it is gone.
  if (response.status >= 500) return unavailable('The GPU worker cannot be reached.');
  return new ApiError('bad-gateway', `The GPU worker replied with status ${response.status}.`);
}

/** True for bytes that are not what the protocol says; a broken connection is not. */
function isNonsense(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const isCutOff = thrown.message === 'the stream ended inside a frame';
  return (thrown.name === 'FrameError' && !isCutOff) || thrown.name.includes('ZodError');
}

function unavailable(detail: string, cause?: unknown): ApiError {
  return new ApiError('worker-unavailable', detail, { retry_after: RETRY_AFTER_S, cause });
}
