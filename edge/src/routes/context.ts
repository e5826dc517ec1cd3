/** What every route knows of its request. */
import type { Context } from 'hono';
import type { Scope, Services } from '../services.ts';
import type { Env } from '../settings.ts';

export type AppEnv = {
  Bindings: Env;
  Variables: { requestId: string; services: Services; startedAt: number };
};
export type AppContext = Context<AppEnv>;

/** @param cancelled aborts when a streamed reply's client goes away */
export function scopeOf(c: AppContext, cancelled?: AbortSignal): Scope {
  const { signal } = c.req.raw;
  return {
    id: c.get('requestId'),
    signal: cancelled === undefined ? signal : AbortSignal.any([signal, cancelled]),
    deadlineAt: c.get('startedAt') + c.get('services').settings.deadlineMs,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  };
}

/** Value of `Server-Timing`: milliseconds by part; the clock of a Worker moves with its I/O only. */
export function serverTiming(parts: Record<string, number | undefined>): string {
  return Object.entries(parts)
    .filter(([, ms]) => ms !== undefined)
    .map(([name, ms]) => `${name};dur=${(ms ?? 0).toFixed(1)}`)
    .join(', ');
}
