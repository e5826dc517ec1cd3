import type { ApiError } from '@blip2/shared/errors';
import { describe, expect, it } from 'vitest';
import { DearWork } from './dear-work.ts';

const settled = () => new Promise((resolve) => setTimeout(resolve));

/** Dear work on a clock that stands still until the test lets a pause pass. */
function workAt(start = 1000) {
  let now = start;
  const pauses: { until: number; end: () => void }[] = [];
  const pause = (ms = 0) =>
    new Promise<void>((resolve) => pauses.push({ until: now + ms, end: resolve }));
  const work = new DearWork({ now: () => now, pause });
  const done: string[] = [];
  const rests: Promise<unknown>[] = [];
  return {
    work,
    done,
    clock: {
      get now() {
        return now;
      },
      set now(to: number) {
        now = to;
      },
    },
    ask: (client: string, ms: number, name = client) => {
      const turn = work.turn(client, ms, (rest) => rests.push(rest));
      return turn.then(
        () => void done.push(name),
        ({ slug, extras }: ApiError) => void done.push(`${name} ${slug} ${extras.retry_after}`),
      );
    },
    /** Lets the next pause pass. */
    next: async () => {
      const [first] = pauses.sort((a, b) => a.until - b.until);
      if (first === undefined) return false;
      pauses.shift();
      now = Math.max(now, first.until);
      first.end();
      await settled();
      return true;
    },
    pauses,
  };
}

describe('dear pieces of work', () => {
  it('come one at a time, those of clients by turns', async () => {
    const { ask, done, next } = workAt();
    for (let n = 1; n <= 4; n++) ask('greedy', 100, `greedy ${n}`);
    ask('light', 100);
    await settled();
    expect(done).toEqual(['greedy 1']);
    while (await next());
    expect(done).toEqual(['greedy 1', 'greedy 2', 'light', 'greedy 3', 'greedy 4']);
  });

  it('leave as long to everybody else as they take', async () => {
    const { ask, done, next, clock } = workAt();
    ask('a', 100, 'first');
    ask('a', 100, 'second');
    await settled();
    // The pause after which the piece is done, and the one that follows it.
    await next();
    expect([done, clock.now]).toEqual([['first'], 1001]);
    await next();
    expect([done, clock.now]).toEqual([['first', 'second'], 1101]);
  });

  it('leave longer where they took longer than was estimated', async () => {
    const { ask, done, next, clock } = workAt();
    ask('a', 100, 'first');
    ask('a', 100, 'second');
    await settled();
    clock.now = 1300;
    await next();
    await next();
    expect([done, clock.now]).toEqual([['first', 'second'], 1600]);
  });

  it('are let in without those that are cheap, which wait for nothing', async () => {
    const { ask, done, work } = workAt();
    ask('a', 1000, 'dear');
    ask('a', 100, 'waiting');
    for (let n = 0; n < 50; n++) ask('a', 24, 'cheap');
    await settled();
    expect(done.toSorted()).toEqual([...Array(50).fill('cheap'), 'dear']);
    expect(work.waiting).toBe(1);
  });

  it('of a client that has too many waiting are refused, and nobody else’s', async () => {
    const { ask, done, work } = workAt();
    for (let n = 1; n <= 7; n++) ask('greedy', 500, `greedy ${n}`);
    ask('light', 500);
    await settled();
    // Half a second each, and as long a pause after it; two of the seven are too many.
    const refused = done.filter((name) => name.includes('too-many-requests'));
    expect(refused).toEqual(['greedy 6 too-many-requests 6', 'greedy 7 too-many-requests 6']);
    expect(done).toHaveLength(3);
    expect(work.waiting).toBe(5);
  });

  it('of very many clients together are refused as they come', async () => {
    const { ask, done } = workAt();
    for (let n = 0; n < 7; n++) ask(`client ${n}`, 500);
    await settled();
    const refused = done.filter((name) => name.includes('overloaded'));
    expect(refused).toEqual(['client 5 overloaded 6', 'client 6 overloaded 6']);
    expect(done).toHaveLength(3);
  });

  it('of a request that was stopped in their midst keep nobody out for long', async () => {
    const { ask, done, clock } = workAt();
    ask('stopped', 100);
    await settled();
    ask('a', 100);
    await settled();
    expect(done).toEqual(['stopped']);
    clock.now += 2 * 100 + 250;
    // Whoever waits looks by itself.
    await expect.poll(() => done).toEqual(['stopped', 'a']);
  });
});
