/** The app: every route of the table, and what holds for all of them: ids, CORS, headers, errors. */
import { ApiError } from '@blip2/shared/errors';
import { Hono, type MiddlewareHandler } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import type { Dependencies } from './dependencies.ts';
import { dialectOfPath, errorResponseIn } from './dialects/dialect.ts';
import { authenticate } from './keys/authenticate.ts';
import { logError, logWarning } from './log.ts';
import type { AppContext, AppEnv } from './routes/app-context.ts';
import { allowEveryOrigin } from './routes/cors.ts';
import { ROUTES } from './routes/routes.ts';

/** @example createApp(deps).fetch(new Request('https://edge.example/healthz'), env, context) */
export function createApp(deps: Dependencies): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(requestId());
  app.use(afterwards(allowEveryOrigin(methodsOf)));
  app.use(
    secureHeaders({
      // The API is for pages of every origin; whether a domain is HTTPS only is its operator's decision.
      crossOriginResourcePolicy: 'cross-origin',
      strictTransportSecurity: false,
      // The page's own policy refuses frames; the rest is for browsers that are gone.
      xFrameOptions: false,
      xDnsPrefetchControl: false,
      xDownloadOptions: false,
      xPermittedCrossDomainPolicies: false,
      xXssProtection: false,
    }),
  );
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allow = [...methods, 'OPTIONS'].join(', ');
        const detail = `${c.req.method} is not possible here; use ${allow}.`;
        return errorResponse(c, new ApiError('method-not-allowed', detail), { allow });
      },
    }),
  );
  app.use(async (c, next) => {
    c.set('startedAt', deps.now());
    await next();
    if (!deps.config.showCache) c.res.headers.delete('server-timing');
  });
  for (const { method, path, handler, tag } of ROUTES) {
    app.on(method, patternOf(path), async (c) => {
      if (tag !== 'service') {
        c.set('caller', await authenticate(c.req.raw.headers, tag, deps.access));
      }
      return await handler(c, deps);
    });
  }
  app.notFound((c) => {
    return errorResponse(
      c,
      new ApiError('not-found', 'There is no such route; see /openapi.json.'),
    );
  });
  app.onError((thrown, c) => {
    const error = ApiError.from(thrown);
    logProblem(error, c.get('requestId'));
    return errorResponse(c, error);
  });
  return app;
}

/**
 * A path of OpenAPI as hono has it. The names of models have a slash, which some clients encode and some do not: `{id}` is
 * all to the end of the path. Paths that differ behind it only are one: two patterns would cost hono its fast router.
 */
function patternOf(path: string): string {
  return path
    .replace(/\{id\}.*$/, ':id{.+}')
    .replaceAll(/\/\{(\w+)\}/g, (_, name: string) => `/:${name}`);
}

/** An error in the form that the client of this request reads. */
function errorResponse(
  c: AppContext,
  error: ApiError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return errorResponseIn(c.get('dialect') ?? dialectOfPath(c.req.path), error, headers);
}

/**
 * Lets a middleware set its headers on the reply that the route made. Set before it is there, hono copies them to a new
 * reply over the body as a stream of JavaScript's: a route with a body then serves a fifth fewer requests.
 */
function afterwards(setHeaders: MiddlewareHandler<AppEnv>): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (c.req.method === 'OPTIONS') {
      // A preflight is answered by the middleware alone, where there is anything to ask for.
      if (methodsOf(c.req.path).length > 0) return await setHeaders(c, next);
      await next();
      c.res.headers.set('access-control-allow-origin', '*');
    } else {
      await next();
      await setHeaders(c, async () => {});
    }
    c.res.headers.set('x-request-id', c.get('requestId'));
  };
}

const PATHS = ROUTES.map(({ path, method }) => {
  const pattern = path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    name === 'id' ? '.+' : '[^/]+',
  );
  const methods = method === 'GET' ? ['GET', 'HEAD'] : [method];
  return { pattern: new RegExp(`^${pattern}$`), methods };
});

/** The methods of all routes at a path; none where there is no route. */
function methodsOf(path: string): string[] {
  return PATHS.flatMap(({ pattern, methods }) => (pattern.test(path) ? methods : []));
}

/** What clients may not read, operators must. */
function logProblem({ status, slug, message, cause }: ApiError, request_id: string): void {
  if (status < 500) return;
  const detail = cause instanceof Error ? (cause.stack ?? cause.message) : cause;
  // A worker that is gone or busy is expected; these two are faults of this service.
  const isFault = slug === 'internal-error' || slug === 'bad-gateway';
  const log = isFault ? logError : logWarning;
  log('problem', { request_id, slug, message, cause: detail });
}
