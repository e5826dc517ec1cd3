/** `POST /v1/run`: a request of frames in, a stream of frames out. */
import { ApiError, problemResponse } from '@blip2/shared/errors';
import { FRAMES_MEDIA_TYPE } from '@blip2/shared/frames';
import { Deadline } from './deadline.ts';
import type { AppContext, Dependencies } from './dependencies.ts';
import { handleRequest } from './handle-request.ts';
import { receiveRequest } from './receive-request.ts';
import { replyStream } from './reply-stream.ts';
import { RequestLog } from './request-log.ts';
import { shuttingDown } from './worker-errors.ts';

/** nginx's status for a client that has gone: nobody reads it. */
const CLIENT_GONE = 499;

export async function run(c: AppContext, dependencies: Dependencies): Promise<Response> {
  const deadline = new Deadline();
  const log = new RequestLog(dependencies.log, c.get('requestId'), () => deadline.elapsed);
  const canceled = new AbortController();
  const clientGone = AbortSignal.any([canceled.signal, c.req.raw.signal]);

  /** Ends the request with an error. @returns null when its client has gone */
  const fail = (thrown: unknown, streamStatus?: number): ApiError | null => {
    deadline[Symbol.dispose]();
    if (clientGone.aborted) {
      log.end(streamStatus ?? CLIENT_GONE, 'canceled');
      return null;
    }
    const problem = ApiError.from(thrown);
    log.error(problem);
    log.end(streamStatus ?? problem.status, problem.slug);
    return problem;
  };

  try {
    if (dependencies.state.draining) throw shuttingDown();
    const received = await receiveRequest(c.req.raw.body, dependencies, deadline);
    const { kind, request_id } = received.request;
    log.identify(kind, c.req.header('x-request-id') === undefined ? request_id : log.requestId);
    const { requestId } = log;
    // What a header cannot hold stays with the log.
    if (/^[\w=-]{1,255}$/.test(requestId)) c.set('requestId', requestId);
    const signal = AbortSignal.any([deadline.signal, clientGone, dependencies.state.crashed]);
    const frames = handleRequest(received, dependencies, { requestId, signal });
    // The first frame decides between a problem with its status and a stream.
    const first = await frames.next();
    const body = replyStream(first.value ?? undefined, frames, {
      problemOf: (thrown) => fail(thrown, 200),
      onDone: () => {
        deadline[Symbol.dispose]();
        log.end(200, 'done');
      },
      onCancel: () => {
        canceled.abort();
        fail(canceled.signal.reason, 200);
      },
    });
    return c.body(body, 200, { 'content-type': FRAMES_MEDIA_TYPE });
  } catch (thrown) {
    const problem = fail(thrown);
    return problem === null
      ? new Response(null, { status: CLIENT_GONE })
      : problemResponse(problem);
  }
}
