/** What is counted when, as data. */
import { expect, it } from 'vitest';
import {
  admit,
  charge,
  dayOf,
  isEmpty,
  type Ledger,
  newLedger,
  settle,
  standingsOf,
} from './ledger.ts';
import type { Limits } from './limits.ts';

const NONE: Limits = { requests: null, tokens: null, images: null, streams: null };
const START = Date.UTC(2030, 5, 1, 12);
const NOTHING = { prompt_tokens: 0, completion_tokens: 0, images: 0 };

const admitted = (ledger: Ledger, limits: Limits, now: number) =>
  admit(ledger, limits, 0, now) === null;

it('admits in no 60 seconds more than the limit', () => {
  const limits = { ...NONE, requests: 7 };
  const ledger = newLedger(START);
  const times: number[] = [];
  for (let now = START; now < START + 600_000; now += 137) {
    if (admitted(ledger, limits, now)) times.push(now);
  }
  for (const [i, time] of times.entries()) {
    const within = times.slice(i).filter((other) => other - time < 60_000);
    expect(within.length).toBeLessThanOrEqual(7);
  }
  // And no fewer than in 61 seconds each.
  expect(times.length).toBeGreaterThanOrEqual(Math.floor(600 / 61) * 7);
});

it('promises waits that hold', () => {
  const limits = { ...NONE, tokens: 100 };
  const ledger = newLedger(START);
  const ask = (tokens: number) => ({ tokens, images: 0, isStream: false, leaseMs: 1000 });
  let now = START + 321;
  for (const [id, tokens] of [
    ['a', 60],
    ['b', 30],
  ] as const) {
    expect(charge(ledger, limits, ask(tokens), id, now)).toBeNull();
    settle(ledger, id, { ...NOTHING, prompt_tokens: tokens }, now);
    now += 5000;
  }
  const refusal = charge(ledger, limits, ask(50), 'c', now);
  expect(refusal?.waitMs).toBe(START + 61_000 - now);
  now += refusal?.waitMs ?? 0;
  expect(charge(ledger, limits, ask(50), 'c', now - 1)).not.toBeNull();
  expect(charge(ledger, limits, ask(50), 'c', now)).toBeNull();
});

it('says to come soon while others hold what may be free', () => {
  const limits = { ...NONE, tokens: 100, images: 1 };
  const ledger = newLedger(START);
  const ask = { tokens: 80, images: 1, isStream: false, leaseMs: 1000 };
  expect(charge(ledger, limits, ask, 'a', START)).toBeNull();
  const tokens = charge(ledger, limits, { ...ask, images: 0 }, 'b', START);
  expect(tokens).toMatchObject({ policy: 'tokens', waitMs: 1000 });
  const images = charge(ledger, limits, { ...ask, tokens: 1 }, 'b', START);
  expect(images).toMatchObject({ policy: 'images', waitMs: 1000 });
  settle(ledger, 'a', { prompt_tokens: 20, completion_tokens: 0, images: 0 }, START + 10);
  expect(charge(ledger, limits, ask, 'b', START + 20)).toBeNull();
});

it('says first what will never be there', () => {
  const limits = { ...NONE, tokens: 100, images: 2, streams: 0 };
  const ledger = newLedger(START);
  const ask = { tokens: 100, images: 1, isStream: false, leaseMs: 1000 };
  expect(charge(ledger, limits, ask, 'a', START)).toBeNull();
  settle(ledger, 'a', { prompt_tokens: 100, completion_tokens: 0, images: 1 }, START);
  expect(charge(ledger, limits, ask, 'b', START)).toMatchObject({ policy: 'tokens' });
  for (const [change, policy] of [
    [{ images: 3 }, 'images'],
    [{ isStream: true }, 'streams'],
  ] as const) {
    const refusal = charge(ledger, limits, { ...ask, ...change }, 'b', START);
    expect(refusal).toMatchObject({ policy, waitMs: null });
  }
});

it('takes all or nothing', () => {
  const limits = { ...NONE, tokens: 100, streams: 1 };
  const ledger = newLedger(START);
  const ask = { tokens: 10, images: 0, isStream: true, leaseMs: 1000 };
  charge(ledger, limits, ask, 'a', START);
  expect(charge(ledger, limits, ask, 'b', START)?.policy).toBe('streams');
  expect(standingsOf(ledger, limits, START).tokens?.remaining).toBe(90);
});

it('counts a settlement once', () => {
  const limits = { ...NONE, tokens: 100, images: 5 };
  const ledger = newLedger(START);
  charge(ledger, limits, { tokens: 50, images: 1, isStream: false, leaseMs: 1000 }, 'a', START);
  for (let n = 0; n < 3; n++) settle(ledger, 'a', NOTHING, START);
  const { tokens, images } = standingsOf(ledger, limits, START);
  expect([tokens?.remaining, images?.remaining]).toEqual([100, 5]);
});

it.each([60_000, 3_600_000, 86_400_000, 400 * 86_400_000])(
  'is neither opened nor closed by a clock that is set back by %d ms',
  (back) => {
    const limits = { requests: 3, tokens: 100, images: 2, streams: 1 };
    const ledger = newLedger(START);
    for (let n = 0; n < 3; n++) admitted(ledger, limits, START);
    charge(ledger, limits, { tokens: 100, images: 2, isStream: true, leaseMs: 30_000 }, 'a', START);
    const now = START - back;
    const left = Object.values(standingsOf(ledger, limits, now)).map(({ remaining }) => remaining);
    expect(left).toEqual([0, 0, 0, 0]);
    expect(admitted(ledger, limits, now)).toBe(false);
    expect(ledger.days).toMatchObject([{ day: dayOf(now), requests: 3 }]);
    // A minute, an hour and a day later nothing is left of it.
    expect(admitted(ledger, limits, now + 61_000)).toBe(true);
    expect(standingsOf(ledger, limits, now + 3_600_000).streams?.remaining).toBe(1);
    expect(standingsOf(ledger, limits, now + 86_400_000).images?.remaining).toBe(2);
  },
);

it('remembers the days that it should, and is empty when they are over', () => {
  const ledger = newLedger(START);
  ledger.retainDays = 3;
  for (let day = 0; day < 9; day++) admitted(ledger, NONE, START + day * 86_400_000);
  const last = START + 8 * 86_400_000;
  expect(ledger.days.map(({ day }) => day)).toEqual([6, 7, 8].map((day) => dayOf(START) + day));
  expect(isEmpty(ledger, last + 2 * 86_400_000)).toBe(false);
  expect(isEmpty(ledger, last + 3 * 86_400_000)).toBe(true);
});

it('stays small, however much is under way', () => {
  const ledger = newLedger(START);
  const ask = { tokens: 1, images: 1, isStream: false, leaseMs: Number.MAX_SAFE_INTEGER };
  const limits = { ...NONE, tokens: 1_000_000 };
  for (let n = 0; n < 2000; n++) charge(ledger, limits, ask, String(n), START + n);
  expect(ledger.leases).toHaveLength(1024);
  expect(JSON.stringify(ledger).length).toBeLessThan(200_000);
  expect(charge(ledger, limits, ask, 'later', START + 3_602_000)).toBeNull();
});
