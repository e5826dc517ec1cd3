/** What pages of other origins may send, and which headers of replies they may read. */
import { ReplyHeaders } from '@blip2/shared/schemas/headers';
import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import type { AppEnv } from './app-context.ts';

/** What clients are known to send. By name: `*` would not include `authorization`. */
const ALLOWED = [
  'accept',
  'authorization',
  'cache-control',
  'content-encoding',
  'content-type',
  'idempotency-key',
  'if-none-match',
  'last-event-id',
  'openai-organization',
  'openai-project',
  'prefer',
  'x-api-key',
  'x-hf-bill-to',
  'x-moondream-auth',
  'x-request-id',
  'x-stainless-arch',
  'x-stainless-custom-poll-interval',
  'x-stainless-helper-method',
  'x-stainless-lang',
  'x-stainless-os',
  'x-stainless-package-version',
  'x-stainless-poll-helper',
  'x-stainless-retry-count',
  'x-stainless-runtime',
  'x-stainless-runtime-version',
  'x-stainless-timeout',
];

/** Beside those that the document describes: what clients look for. */
const EXPOSED = [
  'retry-after-ms',
  'x-should-retry',
  'x-ratelimit-limit-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-requests',
  'x-ratelimit-reset-tokens',
];

/** Names that one preflight may ask for beside those above. */
const MAX_ASKED = 64;

/** @param methodsOf the methods of the routes at a path */
export function allowEveryOrigin(
  methodsOf: (path: string) => readonly string[],
): MiddlewareHandler<AppEnv> {
  const setHeaders = cors({
    origin: '*',
    allowMethods: (_origin, c) => [...methodsOf(c.req.path), 'OPTIONS'],
    allowHeaders: ALLOWED,
    exposeHeaders: [...new Set([...Object.keys(ReplyHeaders.shape), ...EXPOSED])],
    maxAge: 86_400,
  });
  return async (c, next) => {
    const response = await setHeaders(c, next);
    if (!(response instanceof Response)) return;
    const others = otherNames(c.req.header('access-control-request-headers') ?? '');
    if (others.length > 0) {
      // Of two replies, hono takes the headers of the first.
      c.res.headers.set('access-control-allow-headers', [...ALLOWED, ...others].join(','));
    }
    return response;
  };
}

/** Names that are not known above: `x-stainless-…` of a version to come, or headers of tracing. They give nobody more rights. */
function otherNames(asked: string): string[] {
  const names = asked.split(',', MAX_ASKED).map((name) => name.trim().toLowerCase());
  return names.filter((name) => /^[\w!#$%&'*+.^`|~-]{1,64}$/.test(name) && !ALLOWED.includes(name));
}
