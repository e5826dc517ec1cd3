/** HTTP of the GPU worker: requests of the edge in, streams of frames out. */
import { ApiError, problemResponse } from '@blip2/shared/errors';
import { encodeJsonFrame, FRAMES_MEDIA_TYPE } from '@blip2/shared/frames';
import type { WorkerModel } from '@blip2/shared/wire';
import { Hono } from 'hono';
import type { Metrics } from '../metrics.ts';
import { run } from './handle-request.ts';
import { type RunContext, readRun } from './parse-request.ts';

/** What changes while the server runs. */
export type ServerState = { draining: boolean };

export type Served = { model: WorkerModel; metrics: Metrics; state: ServerState };

export function createApp(context: RunContext, { model, metrics, state }: Served): Hono {
  const app = new Hono();

  app.get('/healthz', (c) => c.json({ status: 'ok' }));

  app.get('/readyz', (c) => {
    if (state.draining) throw shuttingDown();
    return c.json({ status: 'ready' });
  });

  app.get('/v1/model', (c) => c.json(model));

  app.get('/metrics', async (c) =>
    c.body(await metrics.text(), 200, { 'content-type': metrics.contentType }),
  );

  app.post('/v1/run', async (c) => {
    if (state.draining) throw shuttingDown();
    const accepted = await readRun(c.req.raw.body, context);
    const deadline = AbortSignal.timeout(accepted.request.deadline_ms);
    const gone = new AbortController();
    const signal = AbortSignal.any([deadline, gone.signal, c.req.raw.signal]);
    const frames = run(accepted, context, signal);
    // The first frame decides between a problem with its status and a stream.
    const first = await frames.next().catch((error: unknown) => {
      throw deadline.aborted ? deadlineExceeded() : error;
    });
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        if (first.value) controller.enqueue(first.value);
      },
      async pull(controller) {
        try {
          const { value, done } = await frames.next();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (gone.signal.aborted) return;
          const problem = logged(deadline.aborted ? deadlineExceeded() : error);
          controller.enqueue(encodeJsonFrame('error', problem.toProblem()));
          controller.close();
        }
      },
      async cancel() {
        gone.abort();
        await frames.return();
      },
    });
    return c.body(stream, 200, { 'content-type': FRAMES_MEDIA_TYPE });
  });

  app.notFound(() => problemResponse(new ApiError('not-found', 'This path does not exist.')));
  app.onError((error) => problemResponse(logged(error)));
  return app;
}

function shuttingDown(): ApiError {
  return new ApiError('shutting-down', 'This worker takes no more requests.', { retry_after: 1 });
}

function deadlineExceeded(): ApiError {
  return new ApiError('deadline-exceeded', 'The request was not finished before its deadline.');
}

/** What was not expected is written to the log, since the client is told nothing of it. */
function logged(error: unknown): ApiError {
  const problem = ApiError.from(error);
  if (problem.slug === 'internal-error') console.error(problem.cause);
  return problem;
}
