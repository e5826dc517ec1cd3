/** A request as the routes get it from hono. */
import type { Context } from 'hono';
import type { Dependencies } from '../dependencies.ts';
import type { Dialect } from '../dialects/dialect.ts';
import { cacheUseOf } from '../http/cache-control.ts';
import { clientOf } from '../http/client-address.ts';
import type { Caller } from '../keys/authenticate.ts';
import type { Env } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';

export type AppEnv = {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** Milliseconds since the epoch. */
    startedAt: number;
    /** Who was let in by a key; else the address tells callers apart. */
    caller?: Caller | null;
    /** Where a handler finds out which dialect a request is in: else its path says so. */
    dialect?: Dialect;
  };
};
export type AppContext = Context<AppEnv>;

export type Handler = (c: AppContext, deps: Dependencies) => Response | Promise<Response>;

/** @param canceled aborted when the client of a streamed reply goes away */
export function requestContextOf(
  c: AppContext,
  { config }: Dependencies,
  canceled?: AbortSignal,
): RequestContext {
  const { signal } = c.req.raw;
  return {
    requestId: c.get('requestId'),
    client: c.get('caller')?.id ?? clientOf(c.req.raw.headers, config),
    cacheUse: cacheUseOf(c.req.raw.headers),
    signal: canceled === undefined ? signal : AbortSignal.any([signal, canceled]),
    deadlineAt: c.get('startedAt') + config.deadlineMs,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  };
}
