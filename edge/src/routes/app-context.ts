/** A request as the routes get it from hono. */
import type { Context } from 'hono';
import type { Dependencies } from '../dependencies.ts';
import type { Env } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';

export type AppEnv = {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** Milliseconds since the epoch. */
    startedAt: number;
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
  const client = c.req.header('cf-connecting-ip')?.slice(0, 64);
  return {
    requestId: c.get('requestId'),
    ...(client === undefined ? {} : { client }),
    signal: canceled === undefined ? signal : AbortSignal.any([signal, canceled]),
    deadlineAt: c.get('startedAt') + config.deadlineMs,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  };
}
