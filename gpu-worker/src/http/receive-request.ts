/** Receives a request: its frames as they arrive, until its deadline. */
import { ApiError } from '@blip2/shared/errors';
import { type Frame, FrameError, readFrames } from '@blip2/shared/frames';
import type { GpuRequest } from '@blip2/shared/wire';
import type { Deadline } from './deadline.ts';
import type { Dependencies } from './dependencies.ts';
import { parseRequest, parseSource, type Source } from './parse-request.ts';
import { nothingArrived } from './worker-errors.ts';

/** A valid request. `source` is absent where only texts are embedded. */
export type ReceivedRequest = { request: GpuRequest; source?: Source };

/** Beyond the largest image: a request frame, and an image that is a little too large gets its own problem. */
const SPARE_BYTES = 2 ** 20;

/** The first frame is a few kilobytes that are known before the request is sent. */
const FIRST_FRAME_MS = 10_000;

/**
 * The deadline is that of the first frame, so that it holds for the upload of the second; until then it is a short one.
 * @throws ApiError when the body is no request, or asks for what this worker cannot do, or comes too slowly
 */
export async function receiveRequest(
  body: ReadableStream<Uint8Array> | null,
  dependencies: Pick<Dependencies, 'engine' | 'models' | 'limits'>,
  deadline: Deadline,
): Promise<ReceivedRequest> {
  if (body === null) throw new ApiError('invalid-request', 'The body is empty.');
  const { models, limits } = dependencies;
  deadline.start(FIRST_FRAME_MS, () => nothingArrived(FIRST_FRAME_MS));
  const untilDeadline = body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>(), {
    signal: deadline.signal,
  });
  await using frames = readFrames(untilDeadline, limits.maxBytes + SPARE_BYTES);
  const request = parseRequest(await nextOf(frames), dependencies);
  deadline.start(request.deadline_ms);
  const source = parseSource(request, await nextOf(frames), models);
  if ((await nextOf(frames)) !== undefined) {
    throw new ApiError('invalid-request', 'There are more frames than the request needs.');
  }
  return source === undefined ? { request } : { request, source };
}

async function nextOf(frames: AsyncGenerator<Frame, void, undefined>): Promise<Frame | undefined> {
  try {
    return (await frames.next()).value ?? undefined;
  } catch (cause) {
    if (!(cause instanceof FrameError)) throw cause;
    const detail = `The body is not a list of frames: ${cause.message}.`;
    throw new ApiError('invalid-request', detail, { cause });
  }
}
