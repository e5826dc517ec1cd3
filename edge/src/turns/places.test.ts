import { expect, it, vi } from 'vitest';
import { Places } from './places.ts';

/** Places whose requests do not say by themselves that they are there: as of requests that were stopped. */
function withoutTimers<T>(run: () => T): T {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    return run();
  } finally {
    vi.useRealTimers();
  }
}

it('are counted until they are left, those of each client by themselves', () => {
  const places = new Places(() => 0);
  const [first, second] = [places.take({ client: 'a' }), places.take({ client: 'b' })];
  expect([places.count(), places.count('a'), places.count('b')]).toEqual([2, 1, 1]);
  first.leave();
  first.leave();
  expect([places.count(), places.count('a'), places.count('b')]).toEqual([1, 0, 1]);
  second.leave();
});

it('of a request that was stopped, whose timers are silent, are free after some seconds', () => {
  withoutTimers(() => {
    let now = 0;
    const places = new Places(() => now);
    const stopped = places.take({ client: 'a' });
    now = 2999;
    expect(places.count('a')).toBe(1);
    now = 3000;
    expect(places.count('a')).toBe(0);
    // Nothing that it says later frees the place of another.
    const other = places.take({ client: 'a' });
    stopped.leave();
    expect(places.count('a')).toBe(1);
    other.leave();
  });
});

it('of a request that goes on count for as long as it does, to its deadline', () => {
  withoutTimers(() => {
    let now = 0;
    const places = new Places(() => now);
    using _stream = places.take({ until: 40_000 });
    for (now = 500; now < 40_000; now += 500) {
      vi.advanceTimersByTime(500);
      expect(places.count()).toBe(1);
    }
    vi.advanceTimersByTime(500);
    expect(places.count()).toBe(0);
  });
});

it('of a request that was only late with its timers count again', () => {
  withoutTimers(() => {
    let now = 0;
    const places = new Places(() => now);
    using _late = places.take({});
    now = 10_000;
    expect(places.count()).toBe(0);
    vi.advanceTimersByTime(500);
    expect(places.count()).toBe(1);
  });
});

it('are free at once where the client goes away', () => {
  const places = new Places(() => 0);
  const client = new AbortController();
  places.take({ signal: client.signal });
  client.abort();
  expect(places.count()).toBe(0);
  places.take({ signal: client.signal });
  expect(places.count()).toBe(0);
});
