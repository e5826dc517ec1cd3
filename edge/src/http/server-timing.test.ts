import { expect, it } from 'vitest';
import { serverTiming } from './server-timing.ts';

it('the parts of a request add up to its total', () => {
  const marks = { startedAt: 1000, readAt: 1002, locatedAt: 1005, endedAt: 1020 };
  expect(serverTiming(marks, { prefill: 4, decode: 6.25 })).toBe(
    'read;dur=2.0, lookup;dur=3.0, prefill;dur=4.0, decode;dur=6.3, wait;dur=4.8, total;dur=20.0',
  );
});

it('a request without a look-up has no such part', () => {
  expect(serverTiming({ startedAt: 0, readAt: 2, endedAt: 10 }, {})).toBe(
    'read;dur=2.0, wait;dur=8.0, total;dur=10.0',
  );
});
