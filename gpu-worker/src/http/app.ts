/** The routes of the GPU worker. */
import { setImmediate } from 'node:timers/promises';
import { ApiError, problemResponse } from '@blip2/shared/errors';
import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { requestId } from 'hono/request-id';
import { checkSignature } from './check-signature.ts';
import type { AppEnv, Dependencies } from './dependencies.ts';
import { dropImage } from './drop-image.ts';
import { run } from './run-route.ts';
import { engineHangs, shuttingDown } from './worker-errors.ts';

export function createApp(dependencies: Dependencies): Hono<AppEnv> {
  const { engine, model, metrics, state, signatures, hangSeconds, log } = dependencies;
  const app = new Hono<AppEnv>();
  app.use(requestId());
  app.use(async (c, next) => {
    await next();
    // On the reply itself: what a handler makes anew has no headers of the context.
    c.res.headers.set('x-request-id', c.get('requestId'));
  });
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allow = methods.join(', ');
        const detail = `${c.req.method} is not possible here; use ${allow}.`;
        return problemResponse(new ApiError('method-not-allowed', detail), { allow });
      },
    }),
  );

  const signed = checkSignature(signatures);
  app.post('/v1/run', signed, (c) => run(c, dependencies));
  app.delete('/v1/images/:id', signed, (c) => dropImage(c, dependencies));

  // What follows is asked by machines every few seconds; a run logs itself, when it has ended.
  app.use(async (c, next) => {
    const startedAt = performance.now();
    await next();
    const { method, path } = c.req;
    const ms = performance.now() - startedAt;
    log.debug('request', {
      request_id: c.get('requestId'),
      method,
      path,
      status: c.res.status,
      ms: Math.round(ms),
    });
  });

  let isHung = false;
  /** Whoever asks this often has a hung worker replaced. */
  const expectProgress = async () => {
    // Where this thread was busy itself, a sign of life may have come and not been read: the second turn has read it.
    for (let turn = 0; turn < 2 && engine.heartbeat() >= hangSeconds; turn++) await setImmediate();
    const seconds = engine.heartbeat();
    const wasHung = isHung;
    isHung = seconds >= hangSeconds;
    if (isHung && !wasHung) log.error('engine-hangs', { seconds: Math.round(seconds) });
    if (isHung) throw engineHangs(seconds);
  };

  app.get('/healthz', async (c) => {
    await expectProgress();
    return c.json({ status: 'ok' });
  });

  app.get('/readyz', async (c) => {
    if (state.draining) throw shuttingDown();
    await expectProgress();
    return c.json({ status: 'ready' });
  });

  app.get('/v1/model', (c) => c.json(model));

  app.get('/metrics', async (c) => {
    const { text, contentType } = await metrics.scrape(c.req.header('accept') ?? '');
    return c.body(text, 200, { 'content-type': contentType, vary: 'accept' });
  });

  app.notFound(() => problemResponse(new ApiError('not-found', 'This path does not exist.')));
  app.onError((error, c) => {
    const problem = ApiError.from(error);
    if (problem.slug === 'internal-error') {
      log.error('internal-error', { request_id: c.get('requestId'), error: problem.cause });
    }
    return problemResponse(problem);
  });
  return app;
}
