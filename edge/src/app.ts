/** Every route of the edge, and what holds for all of them: ids, CORS, errors. */
import { ApiError, problemResponse } from '@blip2/shared/errors';
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { requestId } from 'hono/request-id';
import type { Services } from './dependencies.ts';
import { answers } from './routes/answers.ts';
import { captions } from './routes/captions.ts';
import { createEmbeddings, readEmbeddings } from './routes/embeddings.ts';
import { health } from './routes/health.ts';
import { matchTexts } from './routes/match.ts';
import { openApi } from './routes/openapi.ts';
import { page } from './routes/page.ts';
import { problemText } from './routes/problems.ts';
import type { AppContext, AppEnv } from './routes/request-context.ts';

const ROUTES: readonly [string, 'GET' | 'POST', (c: AppContext) => Response | Promise<Response>][] =
  [
    ['/v1/captions', 'POST', captions],
    ['/v1/answers', 'POST', answers],
    ['/v1/match', 'POST', matchTexts],
    ['/v1/embeddings', 'POST', createEmbeddings],
    ['/v1/embeddings/:sha256', 'GET', readEmbeddings],
    ['/healthz', 'GET', health],
    ['/problems/:slug', 'GET', problemText],
    ['/openapi.json', 'GET', openApi],
    ['/', 'GET', page],
  ];

export function createApp(services: Services): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(requestId());
  app.use(
    cors({
      origin: '*',
      exposeHeaders: ['x-request-id', 'server-timing', 'etag', 'retry-after', 'x-shape'],
      maxAge: 86_400,
    }),
  );
  app.use(async (c, next) => {
    c.set('services', services);
    c.set('startedAt', Date.now());
    await next();
  });
  for (const [path, method, handler] of ROUTES) {
    app.on(method, path, handler);
    // Hono answers HEAD with what GET says.
    const allow = method === 'GET' ? 'GET, HEAD, OPTIONS' : `${method}, OPTIONS`;
    app.all(path, (c) =>
      problemResponse(
        new ApiError('method-not-allowed', `${c.req.method} is not possible here; use ${allow}.`),
        { allow },
      ),
    );
  }
  app.notFound(() => {
    return problemResponse(new ApiError('not-found', 'There is no such route; see /openapi.json.'));
  });
  app.onError((thrown, c) => {
    const error = ApiError.from(thrown);
    logInternal(error, c.get('requestId'));
    return problemResponse(error);
  });
  return app;
}

/** What clients may not read, operators must. */
function logInternal(error: ApiError, requestId: string): void {
  if (error.status < 500) return;
  const { slug, message, cause } = error;
  const detail = cause instanceof Error ? (cause.stack ?? cause.message) : cause;
  const line = JSON.stringify({ event: 'problem', requestId, slug, message, cause: detail });
  // A worker that is gone or busy is expected; these two are ours to mend.
  if (slug === 'internal-error' || slug === 'bad-gateway') console.error(line);
  else console.warn(line);
}
