/** A request as the routes get it from hono. */
import { parseTraceparent, TRACEPARENT_HEADER, type TraceContext } from '@blip2/shared/traceparent';
import type { Context } from 'hono';
import type { Dependencies } from '../dependencies.ts';
import type { Dialect } from '../dialects/dialect.ts';
import { cacheUseOf } from '../http/cache-control.ts';
import { clientOf } from '../http/client-address.ts';
import type { Caller } from '../keys/authenticate.ts';
import type { Account } from '../limits/account.ts';
import type { Sender } from '../limits/limiter.ts';
import type { Env } from '../platform.ts';
import type { OnImage, RequestContext } from '../request-context.ts';
import type { WorkPlace } from '../work-in-hand.ts';

export type AppEnv = {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** Milliseconds since the epoch. */
    startedAt: number;
    /** Who was let in by a key; else the address tells callers apart. */
    caller?: Caller | null;
    /** What the request takes from the limits of its caller, where anything is counted. */
    account?: Account | undefined;
    /** Taken while the request is worked on, where that counts. */
    work?: WorkPlace;
    /** What its query has cost, where that was done without a turn, milliseconds. */
    claimedMs?: number;
    /** Gets the images that the request reads, where its reply is stored. */
    onImage?: OnImage;
    /** Gets the id that the reply hands out, where its reply is stored. */
    onNamed?: (id: string) => void;
    /** Where a handler finds out which dialect a request is in: else its path says so. */
    dialect?: Dialect;
  };
};
export type AppContext = Context<AppEnv>;

export type Handler = (c: AppContext, deps: Dependencies) => Response | Promise<Response>;

/** Whether what a reply has named by an id, which its handler gave to `onNamed`, is still found. */
export type IsThere = (c: AppContext, deps: Dependencies, id: string) => Promise<boolean>;

/** Who sends a request, for what counts it. */
export function senderOf(c: AppContext, config: Dependencies['config']): Sender {
  return {
    caller: c.get('caller') ?? null,
    address: clientOf(c.req.raw.headers, config),
    requestId: c.get('requestId'),
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  };
}

/** Who a request counts as: its key, or its address. */
export function clientIn(c: AppContext, config: Dependencies['config']): string {
  return c.get('caller')?.id ?? clientOf(c.req.raw.headers, config);
}

/** How the body of a request is read, and for whom. */
export function readingOf(c: AppContext, { config }: Pick<Dependencies, 'config'>) {
  const work = c.get('work');
  const waitUntil = (rest: Promise<unknown>) => c.executionCtx.waitUntil(rest);
  const { claimedMs = 0 } = c.var;
  const client = clientIn(c, config);
  return { ...config, client, waitUntil, claimedMs, ...(work !== undefined && { work }) };
}

/** The trace that the caller has begun, where it says so. */
export function traceIn(c: AppContext): TraceContext | undefined {
  return parseTraceparent(c.req.raw.headers.get(TRACEPARENT_HEADER)) ?? undefined;
}

/** @param canceled aborted when the client of a streamed reply goes away */
export function requestContextOf(
  c: AppContext,
  { config }: Dependencies,
  canceled?: AbortSignal,
): RequestContext {
  const { signal } = c.req.raw;
  const account = c.get('account');
  const zone = (c.req.raw.cf as IncomingRequestCfProperties | undefined)?.continent;
  const onImage = c.get('onImage');
  const work = c.get('work');
  const trace = traceIn(c);
  return {
    requestId: c.get('requestId'),
    client: clientIn(c, config),
    ...(trace !== undefined && { trace }),
    ...(zone !== undefined && { zone }),
    ...(account !== undefined && { account }),
    ...(onImage !== undefined && { onImage }),
    ...(work !== undefined && { work }),
    namespace: c.get('caller')?.namespace ?? '',
    cacheUse: cacheUseOf(c.req.raw.headers),
    startedAt: c.get('startedAt'),
    signal: canceled === undefined ? signal : AbortSignal.any([signal, canceled]),
    deadlineAt: c.get('startedAt') + config.deadlineMs,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  };
}
