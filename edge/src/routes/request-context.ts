/** What every route knows of its request. */

import type { GpuTimings } from '@blip2/shared/wire';
import type { Context } from 'hono';
import type { Env } from '../config.ts';
import type { Scope, Services } from '../dependencies.ts';

export type AppEnv = {
  Bindings: Env;
  Variables: { requestId: string; services: Services; startedAt: number };
};
export type AppContext = Context<AppEnv>;

/** @param canceled aborts when a streamed reply's client goes away */
export function scopeOf(c: AppContext, canceled?: AbortSignal): Scope {
  const { signal } = c.req.raw;
  const client = c.req.header('cf-connecting-ip')?.slice(0, 64);
  return {
    id: c.get('requestId'),
    ...(client === undefined ? {} : { client }),
    signal: canceled === undefined ? signal : AbortSignal.any([signal, canceled]),
    deadlineAt: c.get('startedAt') + c.get('services').settings.deadlineMs,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  };
}

/** Milliseconds since the epoch at which a request had been read and, where it was looked up, found. */
export type Marks = { readAt: number; foundAt?: number };

/**
 * Value of `Server-Timing`, milliseconds by part. `read`, `lookup`, the GPU worker's parts and `wait` (the way there and
 * back, and what overlaps) add up to `total`; the clock of a Worker moves with its I/O only.
 */
export function serverTiming(
  c: AppContext,
  { readAt, foundAt }: Marks,
  worker: GpuTimings,
): string {
  const startedAt = c.get('startedAt');
  const now = Date.now();
  const parts = Object.entries(worker).filter(([, ms]) => ms !== undefined);
  const worked = parts.reduce((sum, [, ms]) => sum + (ms ?? 0), 0);
  const entries: [string, number | undefined][] = [
    ['read', readAt - startedAt],
    ...(foundAt === undefined ? [] : [['lookup', foundAt - readAt] satisfies [string, number]]),
    ...parts,
    ['wait', now - (foundAt ?? readAt) - worked],
    ['total', now - startedAt],
  ];
  return entries.map(([name, ms]) => `${name};dur=${(ms ?? 0).toFixed(1)}`).join(', ');
}
