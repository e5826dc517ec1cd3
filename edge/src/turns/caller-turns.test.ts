import type { ApiError } from '@blip2/shared/errors';
import { expect, it } from 'vitest';
import { OPENING } from '../routes/jobs/opening-turns.ts';
import { CallerTurns } from './caller-turns.ts';

/** When somebody asks for a turn, milliseconds from the beginning, and whether it leaves before it has one. */
type Call = { owner: string; at?: number; leaves?: boolean };

/** What becomes of each call where each turn takes so long: when it has come, or the problem. */
async function become(ms: number, calls: readonly Call[]): Promise<string[]> {
  let now = 1000;
  const timers: { at: number; resolve: () => void }[] = [];
  const pause = (wait = 0) =>
    new Promise<void>((resolve) => timers.push({ at: now + wait, resolve }));
  let isLeaving = false;
  const never = new Promise<void>(() => {});
  const services = { now: () => now, pause: (wait?: number) => (isLeaving ? never : pause(wait)) };
  const turns = new CallerTurns(OPENING, services);
  for (const owner of new Set(calls.map((call) => call.owner))) turns.took(owner, ms);
  const results = calls.map((): string => '');
  calls.forEach(async ({ owner, at, leaves = false }, index) => {
    if (at) await pause(at);
    if (leaves) {
      // It waits for a turn of all, and nothing of it goes on.
      isLeaving = true;
      void turns.takeAll(owner);
      isLeaving = false;
      results[index] = 'left';
      return;
    }
    results[index] = await turns.take(owner).then(
      () => `${owner} ${now - 1000}`,
      ({ slug, extras }: ApiError) => `${owner} ${slug} ${extras.retry_after}`,
    );
  });
  while (results.includes('')) {
    // All that goes on without a timer.
    for (let i = 0; i < 30; i++) await null;
    timers.sort((one, other) => one.at - other.at);
    const next = timers.shift();
    now = Math.max(now, next?.at ?? now);
    next?.resolve();
  }
  return results;
}

const of = (...owners: string[]): Call[] => owners.map((owner) => ({ owner }));

it('lets a caller who comes alone in at once', async () => {
  expect(await become(20, of('a'))).toEqual(['a 0']);
});

it('opens the jobs of one caller one after the other, and those of others between them', async () => {
  const turns = await become(50, of('a', 'a', 'a', 'b'));
  expect(turns).toEqual(['a 0', 'a 400', 'a 800', 'b 100']);
});

it('refuses the job of a caller who has too many waiting, and nobody else', async () => {
  const turns = await become(500, of(...Array.from({ length: 8 }, () => 'a'), 'b'));
  expect(turns.slice(5)).toEqual([
    'a 5000',
    'a too-many-requests 6',
    'a too-many-requests 6',
    'b 250',
  ]);
});

it('refuses nobody for what very many others do, up to a bound', async () => {
  const owners = Array.from({ length: 90 }, (_, i) => `owner-${i}`);
  const turns = await become(500, of(...owners));
  expect(turns[0]).toBe('owner-0 0');
  expect(turns.slice(1, 80).filter((turn) => turn.includes('overloaded'))).toEqual([]);
  expect(turns.slice(82)).toEqual(owners.slice(82).map((owner) => `${owner} overloaded 21`));
});

it.each([1, 3, 5, 20])('lets a caller in now and then beside %d busy ones', async (busy) => {
  // As often as its share lets it in: turns are 250 ms apart.
  const every = Math.max(2000, 300 * (busy + 2));
  const own = Array.from({ length: 4 }, (_, n) => ({ owner: 'own', at: every * n + 501 }));
  const others = Array.from({ length: busy }, (_, i) =>
    Array.from({ length: (4 * every) / 200 }, (_, n) => ({ owner: `busy-${i}`, at: 200 * n + i })),
  ).flat();
  const turns = await become(125, [...own, ...others]);
  const waits = own.map(({ at }, i) => Number(turns[i]?.replace('own ', '')) - at);
  // One turn of each, and that which was under way.
  for (const wait of waits) expect(wait).toBeLessThanOrEqual(250 * (busy + 2));
});

it('gives no turn of all to whoever has left', async () => {
  const gone = Array.from({ length: 12 }, (_, i) => ({ owner: `gone-${i}`, at: 1, leaves: true }));
  const [first, ...others] = await become(500, [...of('first'), ...gone, { owner: 'own', at: 2 }]);
  expect(first).toBe('first 0');
  // Without them it would have come at 250, and with a turn for each at 3250: they are found out within a second and a half.
  const own = Number(others.at(-1)?.replace('own ', ''));
  expect(own).toBeLessThan(1800);
});

it('drops the last of whoever has most where too many wait', async () => {
  const busy = Array.from({ length: 16 }, (_, i) => Array.from({ length: 17 }, () => `busy-${i}`));
  // Their own turns come before those of all: all of them wait for those of all together.
  const calls = busy.flat().map((owner, n) => ({ owner, at: 250 * (n % 17) }));
  const turns = await become(1, [...calls, { owner: 'own', at: 4200 }]);
  expect(turns.at(-1)).toMatch(/^own \d+$/);
});
