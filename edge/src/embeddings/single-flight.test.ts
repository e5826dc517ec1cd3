import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Follower, type Leader, SingleFlight } from './single-flight.ts';

const { signal } = new AbortController();
const never = new Promise<void>(() => {});
let flights: SingleFlight<string, number>;

beforeEach(() => {
  vi.useFakeTimers();
  flights = new SingleFlight(() => Date.now());
});
afterEach(() => {
  vi.useRealTimers();
});

const lead = () => {
  const place = flights.join('a');
  expect(place.role).toBe('leader');
  return place as Leader<number>;
};
const follow = () => {
  const place = flights.join('a');
  expect(place.role).toBe('follower');
  return place as Follower<number>;
};

describe('requests for one image', () => {
  it('follow the first and get its value', async () => {
    const leader = lead();
    const waiting = [follow().wait(signal), follow().wait(signal)];
    leader.settle(7, never);
    expect(await Promise.all(waiting)).toEqual([7, 7]);
    expect(follow().settled).toBe(true);
  });

  it('do not wait for another image', () => {
    lead();
    expect(flights.join('b').role).toBe('leader');
    expect(flights.follow('c')).toBeNull();
  });

  it('are over when the value is kept', async () => {
    const kept = Promise.withResolvers<void>();
    lead().settle(7, kept.promise);
    expect(await follow().wait(signal)).toBe(7);
    kept.resolve();
    await kept.promise;
    await Promise.resolve();
    expect(flights.follow('a')).toBeNull();
  });

  it('let the next lead when the leader leaves', async () => {
    const leader = lead();
    const waiting = [follow().wait(signal), follow().wait(signal)];
    leader.leave();
    expect(await Promise.all(waiting)).toEqual([null, null]);
    lead();
    follow();
  });

  it('share an error that each would meet', async () => {
    const leader = lead();
    const waiting = follow().wait(signal);
    leader.fail(new Error('no image'));
    await expect(waiting).rejects.toThrow('no image');
    lead();
  });

  it('take over from a leader that falls silent', async () => {
    const beats = vi.spyOn(globalThis, 'setInterval').mockReturnValue(0 as never);
    lead();
    beats.mockRestore();
    const waiting = follow().wait(signal);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await waiting).toBeNull();
    lead();
  });

  it('wait for a leader that takes long', async () => {
    const leader = lead();
    const waiting = follow().wait(signal);
    await vi.advanceTimersByTimeAsync(60_000);
    leader.settle(7, never);
    expect(await waiting).toBe(7);
  });

  it('stop waiting when their own client goes away', async () => {
    lead();
    const client = new AbortController();
    const waiting = follow().wait(client.signal);
    const refused = expect(waiting).rejects.toThrow();
    client.abort();
    await vi.advanceTimersByTimeAsync(500);
    await refused;
  });
});
