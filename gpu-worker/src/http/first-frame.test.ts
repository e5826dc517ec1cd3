/** Whoever opens a request and sends nothing does not keep it open. */
import { afterEach, expect, it, vi } from 'vitest';
import { SILENT } from '../logger.ts';
import { NO_TRACES } from '../tracing/traces.ts';
import { createApp } from './app.ts';
import { Arrivals } from './arrivals.ts';
import type { Dependencies } from './dependencies.ts';

afterEach(() => vi.useRealTimers());

/** What is not asked before the first frame is not there. */
const UNASKED = {
  arrivals: new Arrivals(2),
  limits: { maxBytes: 1000, maxPixels: 1000 },
  state: { draining: false, crashed: new AbortController().signal },
  log: SILENT,
  signatures: null,
  traces: NO_TRACES,
} as unknown as Dependencies;

it('requests of which nothing arrives make room for others', async () => {
  const post = () => {
    const body = new ReadableStream<Uint8Array>();
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    return createApp(UNASKED).request('/v1/run', init);
  };
  const oldest = post();
  const others = [post(), post()];
  const { status, headers } = await oldest;
  expect([status, headers.get('retry-after')]).toEqual([503, '1']);
  expect(await Promise.race([...others, Promise.resolve('open')])).toBe('open');
  expect(UNASKED.arrivals.size).toBe(2);
});

it('a request of which nothing arrives ends with a problem that says so', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const body = new ReadableStream<Uint8Array>();
  const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
  const response = createApp(UNASKED).request('/v1/run', init);
  await vi.advanceTimersByTimeAsync(9000);
  const state = Promise.race([response, Promise.resolve('open')]);
  expect(await state).toBe('open');
  await vi.advanceTimersByTimeAsync(1000);
  const { status, headers } = await response;
  expect(status).toBe(504);
  expect(headers.get('x-request-id')).toMatch(/\S/);
  expect(await (await response).json()).toMatchObject({
    type: '/problems/deadline-exceeded',
    detail: 'No request frame arrived within 10 seconds.',
  });
});
