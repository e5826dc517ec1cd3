/** `POST /v1/run`: a request of frames in, a stream of frames out. */
import { ApiError, problemResponse } from '@blip2/shared/errors';
import { FRAMES_MEDIA_TYPE } from '@blip2/shared/frames';
import { TRACEPARENT_HEADER } from '@blip2/shared/traceparent';
import { FINGERPRINT_HEADER } from '@blip2/shared/wire';
import { Deadline } from './deadline.ts';
import type { AppContext, Dependencies } from './dependencies.ts';
import { callerOf, handleRequest, type ReceivedRequest } from './handle-request.ts';
import { LinkedSignal } from './linked-signal.ts';
import { RequestBody } from './receive-request.ts';
import { replyStream } from './reply-stream.ts';
import { RequestLog } from './request-log.ts';
import { untilAborted } from './until-aborted.ts';
import { shuttingDown } from './worker-errors.ts';

/** nginx's status for a client that has gone: nobody reads it. */
const CLIENT_GONE = 499;

export async function run(c: AppContext, dependencies: Dependencies): Promise<Response> {
  const arrivedAt = performance.now();
  const deadline = new Deadline();
  const trace = dependencies.traces.begin({
    name: 'POST /v1/run',
    kind: 'server',
    traceparent: c.req.header(TRACEPARENT_HEADER),
    startedAt: arrivedAt,
  });
  const log = new RequestLog(dependencies.log, c.get('requestId'), () => deadline.elapsed, trace);
  const canceled = new AbortController();
  const { crashed } = dependencies.state;
  const clientGone = () => canceled.signal.aborted || c.req.raw.signal.aborted;

  // The place in the queue and the memory of the body: released as soon as the caller has an answer or is gone, whatever
  // the work behind is waiting for.
  const held = new DisposableStack();
  const { signal } = held.use(
    new LinkedSignal(deadline.signal, canceled.signal, c.req.raw.signal, crashed),
  );
  signal.addEventListener('abort', () => held.dispose(), { once: true });

  /** Ends the request with an error. @returns null when its client has gone */
  const fail = (thrown: unknown, streamStatus?: number): ApiError | null => {
    deadline[Symbol.dispose]();
    held.dispose();
    if (clientGone()) {
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
    const receiving = receive(c, dependencies, { deadline, signal, held, log });
    const received = await receiving.finally(() =>
      trace.step('receive', arrivedAt, performance.now()),
    );
    const { requestId } = log;
    // What a header cannot hold stays with the log.
    if (/^[\w=-]{1,255}$/.test(requestId)) c.set('requestId', requestId);
    const onSourceRead = () => received.memory[Symbol.dispose]();
    const frames = handleRequest(received, dependencies, {
      requestId,
      trace,
      arrivedAt,
      signal,
      onSourceRead,
      onFirstToken: () => log.firstToken(),
    });
    // The first frame decides between a problem with its status and a stream.
    const first = await untilAborted(frames.next(), signal);
    const body = replyStream(first.value ?? undefined, frames, {
      signal,
      problemOf: (thrown) => fail(thrown, 200),
      onDone: () => {
        deadline[Symbol.dispose]();
        held.dispose();
        log.end(200, 'done');
      },
      onCancel: () => {
        canceled.abort();
        fail(canceled.signal.reason, 200);
      },
    });
    const { fingerprint } = dependencies.model;
    return c.body(body, 200, {
      'content-type': FRAMES_MEDIA_TYPE,
      ...(fingerprint === undefined ? {} : { [FINGERPRINT_HEADER]: fingerprint }),
    });
  } catch (thrown) {
    const problem = fail(thrown);
    return problem === null
      ? new Response(null, { status: CLIENT_GONE })
      : problemResponse(problem);
  }
}

type Receiving = {
  deadline: Deadline;
  signal: AbortSignal;
  held: DisposableStack;
  log: RequestLog;
};

/** Reads a request, gives it a place in the queue, and reads what it is about. */
async function receive(
  c: AppContext,
  dependencies: Dependencies,
  { deadline, signal, held, log }: Receiving,
): Promise<ReceivedRequest & { memory: Disposable }> {
  using arrival = dependencies.arrivals.enter();
  using linked = new LinkedSignal(signal, arrival.signal);
  const options = { deadline, signal: linked.signal };
  await using body = new RequestBody(c.req.raw.body, dependencies, options);
  const request = await body.request();
  arrival[Symbol.dispose]();
  const { kind, request_id } = request;
  log.identify(kind, c.req.header('x-request-id') === undefined ? request_id : log.requestId);
  use(held, dependencies.engine.admit(callerOf(request)));
  const { source, memory } = await body.source(request);
  use(held, memory);
  return { request, memory, ...(source === undefined ? {} : { source }) };
}

/** Gives the resource to the stack, and back at once where that was disposed while the resource was awaited. */
function use(held: DisposableStack, resource: Disposable): void {
  if (held.disposed) resource[Symbol.dispose]();
  else held.use(resource);
}
