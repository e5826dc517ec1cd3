import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Follower, type Leader, SingleFlight } from './single-flight.ts';

const LIFE_MS = 30_000;
const SENT_AT = 1_700_000_000_000;
const { signal } = new AbortController();
/** A request that waits as long as it takes. */
const patient = { signal, deadlineAt: Number.POSITIVE_INFINITY };
/** A cache that never has the value. */
const never = new Promise<void>(() => {});
let flights: SingleFlight<string, number>;

beforeEach(() => {
  vi.useFakeTimers();
  flights = new SingleFlight(() => Date.now(), LIFE_MS);
});
afterEach(() => {
  vi.useRealTimers();
});

const lead = () => {
  const flight = flights.join('a', SENT_AT);
  expect(flight.role).toBe('leader');
  return flight as Leader<number>;
};
const follow = () => {
  const flight = flights.join('a', SENT_AT);
  expect(flight.role).toBe('follower');
  return flight as Follower<number>;
};

describe('requests for one image', () => {
  it('that send it again have sent it then, and those that only name it have not', () => {
    const leader = lead();
    flights.follow('a');
    expect(leader.sentAt).toBe(SENT_AT);
    flights.follow('a', SENT_AT + 5);
    flights.join('a', SENT_AT + 3);
    expect(leader.sentAt).toBe(SENT_AT + 5);
  });

  it('follow the first and get its value', async () => {
    const leader = lead();
    const waiting = [follow().wait(patient), follow().wait(patient)];
    leader.settle(7, never);
    expect(await Promise.all(waiting)).toEqual([7, 7]);
    expect(follow().settled).toBe(true);
  });

  it('do not wait for another image', () => {
    lead();
    expect(flights.join('b', SENT_AT).role).toBe('leader');
    expect(flights.follow('c')).toBeNull();
  });

  it('no longer follow when a cache has the value', async () => {
    const stored = Promise.withResolvers<void>();
    lead().settle(7, stored.promise);
    expect(await follow().wait(patient)).toBe(7);
    stored.resolve();
    await stored.promise;
    await Promise.resolve();
    expect(flights.follow('a')).toBeNull();
  });

  it('are led by the next when the leader leaves', async () => {
    const leader = lead();
    const waiting = [follow().wait(patient), follow().wait(patient)];
    leader.leave();
    expect(await Promise.all(waiting)).toEqual([null, null]);
    lead();
    follow();
  });

  it('share an error that each would meet', async () => {
    const leader = lead();
    const waiting = follow().wait(patient);
    leader.fail(new Error('no image'));
    await expect(waiting).rejects.toThrow('no image');
    lead();
  });

  it('are led by the next when the leader has no heartbeat', async () => {
    const heartbeats = vi.spyOn(globalThis, 'setInterval').mockReturnValue(0 as never);
    lead();
    heartbeats.mockRestore();
    const waiting = follow().wait(patient);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await waiting).toBeNull();
    lead();
  });

  it('wait for a leader as long as it has a heartbeat', async () => {
    const leader = lead();
    const waiting = follow().wait(patient);
    await vi.advanceTimersByTimeAsync(LIFE_MS);
    leader.settle(7, never);
    expect(await waiting).toBe(7);
  });

  it('are led by the next when the leader lives and never settles', async () => {
    lead();
    const waiting = follow().wait(patient);
    await vi.advanceTimersByTimeAsync(LIFE_MS + 3000);
    expect(await waiting).toBeNull();
    lead();
  });

  it('no longer follow a leader whose value never reaches a cache', async () => {
    const started = vi.spyOn(globalThis, 'setInterval');
    const stopped = vi.spyOn(globalThis, 'clearInterval');
    lead().settle(7, never);
    // Others are of objects that work on behind earlier tests.
    const [heartbeat] = started.mock.results;
    await vi.advanceTimersByTimeAsync(LIFE_MS + 3000);
    expect(flights.follow('a')).toBeNull();
    expect(stopped.mock.calls.map(([timer]) => timer)).toContain(heartbeat?.value);
    for (const spy of [started, stopped]) spy.mockRestore();
  });

  it('stop waiting when their own deadline is over', async () => {
    lead();
    const waiting = follow().wait({ signal, deadlineAt: Date.now() + 1000 });
    const refused = expect(waiting).rejects.toMatchObject({ slug: 'deadline-exceeded' });
    await vi.advanceTimersByTimeAsync(2000);
    await refused;
  });

  it('stop waiting when their own client goes away', async () => {
    lead();
    const client = new AbortController();
    const waiting = follow().wait({ ...patient, signal: client.signal });
    const refused = expect(waiting).rejects.toThrow();
    client.abort();
    await vi.advanceTimersByTimeAsync(500);
    await refused;
  });
});
