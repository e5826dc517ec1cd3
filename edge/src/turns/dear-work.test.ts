import type { ApiError } from '@blip2/shared/errors';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DearWork } from './dear-work.ts';

const { setTimeout: setRealTimeout } = globalThis;
const settled = () => new Promise((resolve) => setRealTimeout(resolve));

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

type Asked = { name?: string; claims?: number; signal?: AbortSignal; longestMs?: number };

/** Dear work on a clock that stands still until the test lets a pause pass. */
function workAt(start = 1000) {
  let now = start;
  let timersAt = start;
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
    /** @param took what it really takes, milliseconds */
    ask: (client: string, took: number, { name = client, claims = 1000, ...more }: Asked = {}) => {
      const turn = work.turn(client, claims, {
        waitUntil: (rest) => rests.push(rest),
        remedy: 'fewer texts',
        ...more,
      });
      return turn.then(
        () => {
          done.push(name);
          now += took;
        },
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
      // Whoever waits looks by itself, once a piece leaves it the time.
      vi.advanceTimersByTime(now - timersAt);
      timersAt = now;
      await settled();
      return true;
    },
    pauses,
  };
}

/** Such work, where pieces have taken so long lately. */
async function workThatTook(ms: number) {
  const at = workAt();
  for (let n = 0; n < 40; n++) {
    at.ask('earlier', ms);
    await settled();
    while (await at.next());
  }
  at.done.length = 0;
  return at;
}

describe('dear pieces of work', () => {
  it('come one at a time, those of clients by turns', async () => {
    const { ask, done, next } = workAt();
    for (let n = 1; n <= 4; n++) ask('greedy', 100, { name: `greedy ${n}` });
    ask('light', 100);
    await settled();
    expect(done).toEqual(['greedy 1']);
    while (await next());
    expect(done).toEqual(['greedy 1', 'greedy 2', 'light', 'greedy 3', 'greedy 4']);
  });

  it.each([100, 300])('leave %d ms to everybody else where they take as long', async (took) => {
    const { ask, done, next, clock } = workAt();
    ask('a', took, { name: 'first' });
    ask('a', took, { name: 'second' });
    await settled();
    // The pause after which the piece is done, and the one that follows it.
    await next();
    expect([done, clock.now]).toEqual([['first'], 1000 + took]);
    await next();
    expect([done, clock.now]).toEqual([['first', 'second'], 1000 + 3 * took]);
  });

  it('are followed at once by the next where they took nothing, whatever was claimed', async () => {
    const { ask, done, next, clock } = workAt();
    for (let n = 0; n < 30; n++) ask(`client ${n}`, 0);
    await settled();
    while (await next());
    expect([done.length, clock.now]).toEqual([30, 1030]);
  });

  it('make nobody wait for more than a second after one, however late the clock is', async () => {
    const { ask, done, next, clock } = workAt();
    ask('a', 5000, { name: 'first' });
    ask('b', 100, { name: 'second' });
    await settled();
    await next();
    await next();
    expect([done, clock.now]).toEqual([['first', 'second'], 7100]);
  });

  it('are let in without those that are cheap, which wait for nothing', async () => {
    const { ask, done, work } = workAt();
    ask('a', 1000, { name: 'dear' });
    ask('a', 100, { name: 'waiting' });
    for (let n = 0; n < 50; n++) ask(`client ${n % 10}`, 0, { name: 'cheap', claims: 24 });
    await settled();
    expect(done.toSorted()).toEqual([...Array(50).fill('cheap'), 'dear']);
    expect(work.waiting).toBe(1);
  });

  it('are those that are cheap, too, where one client has many of them in a second', async () => {
    const { ask, done, next, work, clock } = workAt();
    for (let n = 0; n < 9; n++) ask('flood', 0, { name: `${n}`, claims: 24 });
    for (let n = 0; n < 99; n++) ask('flood', 0, { name: 'tiny', claims: 0.1 });
    await settled();
    // Five at once, and one in its turn.
    expect(done.filter((name) => name !== 'tiny').toSorted()).toEqual([...'012345']);
    expect(done.filter((name) => name === 'tiny')).toHaveLength(99);
    expect(work.waiting).toBe(3);
    ask('light', 0, { claims: 1000 });
    while (await next());
    expect(done.slice(-4)).toEqual(['6', 'light', '7', '8']);
    clock.now += 1000;
    for (let n = 0; n < 3; n++) ask('flood', 0, { name: 'later', claims: 24 });
    await settled();
    expect(done.slice(-3)).toEqual(['later', 'later', 'later']);
  });

  it('have one turn together where they are cheap, of one client, and dear only beyond that', async () => {
    const { ask, done, next, work } = workAt();
    for (let n = 0; n < 6; n++) ask('flood', 0, { name: 'first', claims: 20 });
    await settled();
    done.length = 0;
    for (let n = 0; n < 20; n++) ask('flood', 0, { claims: 2 });
    await next();
    expect(done).toHaveLength(12);
    expect(work.waiting).toBe(8);
  });

  it('are followed by a pause as long, however little they claim', async () => {
    const { ask, done, next, clock } = workAt();
    ask('a', 900, { name: 'first', claims: 30 });
    ask('b', 0, { name: 'second', claims: 30 });
    await settled();
    while (await next());
    expect([done, clock.now]).toEqual([['first', 'second'], 1000 + 2 * 900 + 1]);
  });

  it('that are several in one turn are followed by a pause no longer than four times their claim and a little', async () => {
    const { ask, done, next, clock } = workAt();
    ask('a', 0, { name: 'first' });
    for (let n = 0; n < 6; n++) ask('flood', 0, { name: 'at once', claims: 20 });
    // What others did meanwhile counts for them.
    for (let n = 0; n < 2; n++) ask('flood', 450, { name: 'cheap', claims: 10 });
    await settled();
    done.length = 0;
    while (await next());
    expect(done).toEqual(['at once', 'cheap', 'cheap']);
    expect(clock.now).toBe(1000 + 1 + 1 + 900 + 4 * 20 + 50);
  });

  it('that take longer than a pause may be are taken from what their client does at once', async () => {
    const { ask, done, next } = workAt();
    ask('long', 3000, { name: 'long', claims: 30 });
    await settled();
    while (await next());
    done.length = 0;
    ask('another', 0, { name: 'dear' });
    ask('long', 0, { name: 'cheap', claims: 20 });
    ask('light', 0, { name: 'light', claims: 20 });
    await settled();
    expect(done.toSorted()).toEqual(['dear', 'light']);
    while (await next());
    expect(done).toContain('cheap');
  });

  it('of a client that has too many waiting are refused, and nobody else’s', async () => {
    const { ask, done, work } = await workThatTook(500);
    for (let n = 1; n <= 23; n++) ask('greedy', 500, { name: `greedy ${n}` });
    ask('light', 500);
    await settled();
    // Half a second each, and as long a pause after it; two of the 23 are too many.
    const refused = done.filter((name) => name.includes('too-many-requests'));
    expect(refused).toEqual(['greedy 22 too-many-requests 21', 'greedy 23 too-many-requests 21']);
    expect(done).toHaveLength(3);
    expect(work.waiting).toBe(21);
  });

  it('of a client that is alone and sends eight at once wait', async () => {
    const { ask, done, next } = await workThatTook(800);
    for (let n = 1; n <= 8; n++) ask('a', 800);
    await settled();
    while (await next());
    expect(done).toEqual(Array(8).fill('a'));
  });

  it('of very many clients together are refused as they come', async () => {
    const { ask, done } = await workThatTook(500);
    for (let n = 0; n < 23; n++) ask(`client ${n}`, 500);
    await settled();
    const refused = done.filter((name) => name.includes('overloaded'));
    expect(refused).toEqual(['client 21 overloaded 21', 'client 22 overloaded 21']);
    expect(done).toHaveLength(3);
  });

  it('of a client that has none waiting are let in beside any that only claim to be dear', async () => {
    const { ask, done, next, work } = await workThatTook(1);
    const attackers = Array.from({ length: 26 }, (_, n) => `attacker ${n}`);
    for (const attacker of attackers) for (let n = 0; n < 8; n++) ask(attacker, 1);
    ask('honest', 40);
    await settled();
    expect(done).toHaveLength(1);
    expect(work.waiting).toBeGreaterThan(100);
    while (await next());
    expect(done.filter((name) => name.includes('overloaded'))).toEqual([]);
    expect(done.indexOf('honest')).toBeLessThanOrEqual(27);
  });

  it('are a few hundred that wait, of which each client has a part', async () => {
    const { ask, work, done } = workAt();
    for (let n = 0; n < 200; n++) ask('greedy', 0);
    await settled();
    expect(work.waiting).toBe(128);
    for (let n = 0; n < 300; n++) ask(`client ${n}`, 0);
    await settled();
    expect(work.waiting).toBe(128 + 255);
    expect(done.filter((name) => name.includes('greedy too-many'))).toHaveLength(71);
    expect(done.filter((name) => name.includes('overloaded'))).toHaveLength(45);
  });

  it('are not expected to take longer than their claim allows, whatever dear ones took', async () => {
    const { ask, done, next } = await workThatTook(800);
    ask('flood', 0, { name: 'first', claims: 1000 });
    await settled();
    done.length = 0;
    // Fifty without a turn, and the others in turns of twelve.
    for (let n = 0; n < 120; n++) ask('flood', 2, { name: 'cheap', claims: 2 });
    await settled();
    while (await next());
    expect(done).toEqual(Array(120).fill('cheap'));
  });

  it.each(['', 'unnamed'])(
    'of the many without an address are not those of one client: "%s"',
    async (client) => {
      const { ask, work, done } = workAt();
      for (let n = 0; n < 270; n++) ask(client, 0, { name: 'unnamed' });
      await settled();
      expect(work.waiting).toBe(256);
      // One is under way.
      expect(done.filter((name) => name.includes('unnamed overloaded'))).toHaveLength(13);
      ask('named', 0);
      await settled();
      expect(work.waiting).toBe(257);
    },
  );

  it('wait no longer than their request may', async () => {
    const { ask, done } = await workThatTook(500);
    ask('a', 500);
    ask('b', 500, { longestMs: 1000 });
    ask('c', 500, { longestMs: 1500 });
    await settled();
    expect(done.toSorted()).toEqual(['a', 'c overloaded 2']);
  });

  it('of a client that goes away while it waits get no turn', async () => {
    const { ask, done, next, work } = workAt();
    const client = new AbortController();
    ask('a', 100);
    // The timers of a request that was stopped are silent.
    vi.stubGlobal('setTimeout', () => 0);
    ask('gone', 100, { signal: client.signal });
    vi.unstubAllGlobals();
    ask('b', 100);
    await settled();
    client.abort();
    expect(work.waiting).toBe(1);
    while (await next());
    expect(done).toEqual(['a', 'b']);
  });

  it('of a request that was stopped in their midst keep nobody out for long', async () => {
    const { ask, done, clock } = workAt();
    ask('stopped', 0, { claims: 100 });
    await settled();
    ask('a', 100);
    await settled();
    expect(done).toEqual(['stopped']);
    clock.now += 2 * 100 + 250;
    vi.advanceTimersByTime(250);
    await settled();
    expect(done).toEqual(['stopped', 'a']);
  });

  it('that cannot be done name what to send instead', async () => {
    const { work, ask } = await workThatTook(500);
    ask('a', 500);
    await settled();
    const options = { waitUntil: () => {}, longestMs: 100, remedy: 'a smaller image' };
    await expect(work.turn('b', 100, options)).rejects.toThrow('or send a smaller image.');
  });
});
