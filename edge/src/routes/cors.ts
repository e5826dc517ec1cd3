/** What pages of other origins may send, and which headers of replies they may read. */
import { ReplyHeaders } from '@blip2/shared/schemas/headers';
import type { MiddlewareHandler } from 'hono';
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
  'traceparent',
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

/** What the document describes, and what else clients look for. */
const EXPOSED = [
  ...new Set([
    ...Object.keys(ReplyHeaders.shape),
    'retry-after-ms',
    'x-should-retry',
    'x-ratelimit-limit-requests',
    'x-ratelimit-limit-tokens',
    'x-ratelimit-remaining-requests',
    'x-ratelimit-remaining-tokens',
    'x-ratelimit-reset-requests',
    'x-ratelimit-reset-tokens',
  ]),
].join();

/** Names that one preflight may ask for beside those above. */
const MAX_ASKED = 64;

/**
 * Not hono's: its list of headers is fixed, or whatever is asked for.
 * @param methodsOf the methods of the routes at a path
 */
export function allowEveryOrigin(
  methodsOf: (path: string) => readonly string[],
): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (c.req.method === 'OPTIONS') {
      const others = otherNames(c.req.header('access-control-request-headers') ?? '');
      return new Response(null, {
        status: 204,
        headers: {
          'access-control-allow-origin': '*',
          'access-control-allow-methods': [...methodsOf(c.req.path), 'OPTIONS'].join(),
          'access-control-allow-headers': [...ALLOWED, ...others].join(),
          'access-control-max-age': '86400',
          vary: 'access-control-request-headers',
        },
      });
    }
    await next();
    c.res.headers.set('access-control-allow-origin', '*');
    c.res.headers.set('access-control-expose-headers', EXPOSED);
    return undefined;
  };
}

/** Names that are not known above: `x-stainless-…` of a version to come, or headers of tracing. They give nobody more rights. */
function otherNames(asked: string): string[] {
  const names = asked.split(',', MAX_ASKED).map((name) => name.trim().toLowerCase());
  return names.filter((name) => /^[\w!#$%&'*+.^`|~-]{1,64}$/.test(name) && !ALLOWED.includes(name));
}
