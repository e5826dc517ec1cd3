/** The app: every route of the table, and what holds for all of them: ids, CORS, headers, errors. */
import type { Scope } from '@blip2/shared/api-key';
import type { ImagePath } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { IDEMPOTENCY_KEY } from '@blip2/shared/schemas/headers';
import { UNNAMED_CLIENT } from '@blip2/shared/wire';
import { Hono, type MiddlewareHandler } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import type { Dependencies } from './dependencies.ts';
import { type Dialect, dialectOf, errorResponseIn, nothingAt } from './dialects/dialect.ts';
import { queryCost } from './http/body-costs.ts';
import { clientOf } from './http/client-address.ts';
import { drainBody, isLeftUnread } from './http/drain-body.ts';
import { fullStorage } from './http/full-storage.ts';
import { RequestTurns } from './http/request-turns.ts';
import { replyOnce } from './idempotency/reply-once.ts';
import { PART_BYTES } from './jobs/object-writer.ts';
import { authenticate } from './keys/authenticate.ts';
import { openAiFields, rateLimitFields } from './limits/rate-limit-headers.ts';
import { logProblem } from './log-problem.ts';
import {
  type AppContext,
  type AppEnv,
  clientIn,
  readingOf,
  requestContextOf,
  senderOf,
} from './routes/app-context.ts';
import { allowEveryOrigin } from './routes/cors.ts';
import { addJobRoutes } from './routes/internal/job-routes.ts';
import { takesIdempotencyKey } from './routes/openapi/problems.ts';
import { replyFormOf } from './routes/reply-form.ts';
import type { Route } from './routes/route.ts';
import { ROUTES } from './routes/routes.ts';
import type { WorkPlace } from './work-in-hand.ts';

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
    // Two Host headers, for one: nothing that reads the address could.
    if (!URL.canParse(c.req.url)) throw unreadableAddress();
    await next();
  });
  app.use(async (c, next) => {
    c.set('startedAt', deps.now());
    const { raw: request } = c.req;
    await next();
    // Before the reply: after it, whatever is still sent breaks the connection.
    if (isLeftUnread(request)) {
      await drainBody(request, deps.config.deadlineMs, clientOf(request.headers, deps.config));
    }
    if (!deps.config.showCache) c.res.headers.delete('server-timing');
    showLimits(c);
  });
  for (const route of ROUTES) {
    const { method, path, handler, tag, isSigned } = route;
    const takesKey = takesIdempotencyKey(route);
    app.on(method, patternOf(path), async (c) => {
      if (tag === 'service') return await handler(c, deps);
      const { signal, headers } = c.req.raw;
      const client = clientOf(headers, deps.config);
      // Until its key is found it counts as its address, where that tells it from others.
      const address = client === UNNAMED_CLIENT ? undefined : client;
      using place = deps.work.take(signal, address);
      const scope = tag === 'usage' ? null : tag;
      // Whoever has a signed URL was let in, and counted, before.
      if (!isSigned) {
        const visitor = { address, signal, work: place };
        c.set('caller', await authenticate(headers, scope, deps.access, visitor));
      }
      place.countAs(clientIn(c, deps.config));
      if (scope !== null && !isSigned)
        await admit(c, deps, method === 'POST' && WRITES.has(scope) ? 1 : 0);
      const isOnce = takesKey && c.req.raw.headers.has(IDEMPOTENCY_KEY);
      if (isOnce || isSlow(route)) place.leave();
      else c.set('work', place);
      const turns = new RequestTurns(c.req.raw, readingOf(c, deps));
      await turns.before(queryCost(new URL(c.req.url).search));
      c.set('claimedMs', turns.claimedMs);
      return isOnce ? await once(c, deps, route, place) : await handler(c, deps);
    });
  }
  addJobRoutes(app, deps);
  app.notFound((c) => errorResponse(c, new ApiError('not-found', nothingAt(c.req.path))));
  app.onError((thrown, c) => {
    // Nobody hears of it, and it is no fault.
    if (c.req.raw.signal.aborted && isAbort(thrown)) return errorResponse(c, ApiError.from(thrown));
    return problemReply(c, fullStorage(thrown) ?? ApiError.from(thrown));
  });
  return app;
}

/** Whether its body may be stored as it comes, rather than read into memory. */
function isUpload({ request }: Route): boolean {
  return request !== undefined && ('orLines' in request || 'content' in request);
}

/** Whether it waits for its client, or for objects that have bounds of their own, longer than it works. */
function isSlow(route: Route): boolean {
  return isUpload(route) || route.tag === 'jobs' || route.tag === 'replicate';
}

/**
 * The reply to a request with an `Idempotency-Key`, which a request before it may have got.
 * @param place that it takes where it runs itself
 */
async function once(
  c: AppContext,
  deps: Dependencies,
  route: Route,
  place: WorkPlace,
): Promise<Response> {
  const { handler, errors, isThere } = route;
  const images = new Map<ImagePath, number>();
  c.set('onImage', (image, sentAt) => {
    images.set(image, Math.min(sentAt, images.get(image) ?? sentAt));
  });
  let named: string | null = null;
  c.set('onNamed', (id) => {
    named = id;
  });
  try {
    const reply = await replyOnce(deps, {
      request: c.req.raw,
      ...(isUpload(route) && { uploadBytes: deps.config.jobsMaxFileBytes + PART_BYTES }),
      form: replyFormOf(route, c.req.path, c.req.raw.headers),
      caller: clientIn(c, deps.config),
      context: requestContextOf(c, deps),
      images: () => [...images],
      named: () => named,
      isThere: async (id) => (await isThere?.(c, deps, id)) ?? true,
      handle: async (request) => {
        c.req.raw = request;
        if (!isSlow(route)) {
          place.takeAnyway();
          c.set('work', place);
        }
        return await handler(c, deps);
      },
      toReply: (error) => problemReply(c, error),
    });
    return reply ?? (await handler(c, deps));
  } catch (thrown) {
    // Nothing has read the body, which alone tells the dialect.
    if (errors === 'both' && c.get('dialect') === undefined) c.set('dialect', 'either');
    throw thrown;
  }
}

const isAbort = (thrown: Error): boolean => thrown.name === 'AbortError';

function unreadableAddress(): ApiError {
  const detail =
    'The address and the Host header of the request are no URL together: send one Host header.';
  return new ApiError('invalid-request', detail);
}

function problemReply(c: AppContext, error: ApiError): Response {
  logProblem(error, c.get('requestId'));
  return errorResponse(c, error);
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
  return errorResponseIn(dialectIn(c), error, headers);
}

function dialectIn(c: AppContext): Dialect {
  return c.get('dialect') ?? dialectOf(c.req.path, c.req.raw.headers);
}

/** Families of routes whose every POST needs tokens: without any, its body need not be read. */
const WRITES: ReadonlySet<Scope> = new Set(['text', 'matching', 'openai', 'moondream']);

/** Counts the request, before anything of its body is read. @param tokens what it needs at least */
async function admit(c: AppContext, { limiter, config }: Dependencies, tokens: number) {
  const account = limiter.open(senderOf(c, config));
  c.set('account', account);
  await account?.admit(tokens);
}

/** Where the caller stands, in the headers of every reply, beside those that the GPU worker's own limit has. */
function showLimits(c: AppContext): void {
  const standings = c.get('account')?.standings;
  if (standings === undefined) return;
  const dialect = dialectIn(c);
  const fields = {
    ...rateLimitFields(standings),
    ...(dialect === 'openai' && openAiFields(standings)),
  };
  for (const [name, value] of Object.entries(fields)) c.res.headers.append(name, value);
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
