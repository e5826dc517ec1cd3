import { describe, expect, it } from 'vitest';
import { startEdge } from '../testing/edge.ts';
import { AwaitedBodies } from './awaited-bodies.ts';
import { holdBody } from './held-bodies.ts';
import { RecentPace } from './recent-pace.ts';
import type { ComingBody } from './slow-bodies.ts';

const LONG_AGO = 1000;
const NOW = 60_000;

function bodyOf(client: string, openedAt: number, more: Partial<ComingBody> = {}): ComingBody {
  const pace = new RecentPace(openedAt);
  return { client, kind: 'body', openedAt, expiresAt: 90_000, pace, end: () => {}, ...more };
}

/** So many that began now. */
function fresh(bodies: AwaitedBodies<ComingBody>, client: string, count: number): void {
  for (let n = 0; n < count; n++) bodies.add(bodyOf(client, NOW), NOW);
}

function endOf(act: () => void): unknown {
  try {
    act();
  } catch (thrown) {
    return thrown;
  }
  return null;
}

describe('bodies that come', () => {
  it('are half of all where one client has them, a third each where there are two', () => {
    const bodies = new AwaitedBodies(undefined, 12);
    const most = (client: string) => {
      for (let count = 0; ; count++) {
        const refusal = endOf(() => bodies.add(bodyOf(client, NOW), NOW));
        if (refusal === null) continue;
        expect(refusal).toMatchObject({
          slug: 'too-many-requests',
          extras: { limit: count, retry_after: 1 },
          message: `This client has ${count} requests under way whose bodies have not come whole, as many as one may have now.`,
        });
        return count;
      }
    };
    expect(most('greedy')).toBe(6);
    expect(most('other')).toBe(3);
    bodies.add(bodyOf('light', NOW), NOW);
  });

  it('of those whom nobody tells apart are all, and none of them is refused for its own', () => {
    const bodies = new AwaitedBodies(undefined, 12);
    fresh(bodies, 'unnamed', 12);
    for (const client of ['unnamed', 'named']) {
      expect(endOf(() => bodies.add(bodyOf(client, NOW), NOW))).toMatchObject({
        slug: 'overloaded',
        extras: { retry_after: 1 },
      });
    }
  });

  it('leave their place, and have none longer than they may take', () => {
    const bodies = new AwaitedBodies(undefined, 2);
    const [first, second] = [bodyOf('a', NOW), bodyOf('b', NOW, { expiresAt: NOW + 1 })];
    bodies.add(first, NOW);
    bodies.add(second, NOW);
    expect(() => bodies.add(bodyOf('c', NOW), NOW)).toThrow('try again');
    bodies.leave(first);
    bodies.add(bodyOf('c', NOW), NOW);
    bodies.add(bodyOf('d', NOW), NOW + 2);
  });

  it('and uploads have half as many of their own', () => {
    const bodies = new AwaitedBodies(undefined, 4);
    const upload = (client: string) => bodyOf(client, NOW, { kind: 'upload' });
    for (const client of ['a', 'b']) bodies.add(upload(client), NOW);
    expect(() => bodies.add(upload('c'), NOW)).toThrow('try again');
    for (const client of ['a', 'b', 'c', 'd']) bodies.add(bodyOf(client, NOW), NOW);
  });

  it.each(['own', 'unnamed'])('the slowest gives way: %s', (client) => {
    const gone: ComingBody[] = [];
    const bodies = new AwaitedBodies<ComingBody>((body) => gone.push(body), 8);
    const errors: unknown[] = [];
    const slow = [300, 100, 200].map((bytes) => {
      const body = bodyOf(client, LONG_AGO, { end: (error) => errors.push(error) });
      body.pace.add(bytes, NOW - 100);
      bodies.add(body, NOW);
      return body;
    });
    // One of another client is slower still, and is touched only where all count together.
    const other = bodyOf('another', LONG_AGO);
    bodies.add(other, NOW);
    fresh(bodies, client, client === 'own' ? 1 : 4);
    bodies.add(bodyOf(client, NOW), NOW);
    expect(gone).toEqual([client === 'own' ? slow[1] : other]);
    bodies.add(bodyOf(client, NOW), NOW);
    expect(gone.at(-1)).toBe(client === 'own' ? slow[2] : slow[1]);
    expect(errors[0]).toMatchObject({
      slug: 'overloaded',
      message:
        'This body came slowly, and others needed its place: send it again, over a faster connection.',
    });
  });

  it('none gives way that is new, comes fast, or is being stored', () => {
    const bodies = new AwaitedBodies(undefined, 3);
    const fast = bodyOf('fast', LONG_AGO);
    fast.pace.add(10_000_000, NOW - 100);
    const stored = bodyOf('stored', LONG_AGO, { end: undefined });
    for (const body of [fast, stored, bodyOf('new', NOW - 4000)]) bodies.add(body, NOW);
    expect(() => bodies.add(bodyOf('late', NOW), NOW)).toThrow('try again');
  });
});

describe('of an isolate', () => {
  const MOST = { body: 1024, upload: 512 } as const;

  it.each(['body', 'upload'] as const)('so many come at a time: %s', async (kind) => {
    const waits: Promise<unknown>[] = [];
    const open = (n: number) => {
      const client = `${kind} ${n}`;
      const held = holdBody(2 ** 20, { client, ms: 60_000, kind });
      held.begin();
      return held;
    };
    const all = Array.from({ length: MOST[kind] }, (_, n) => open(n));
    try {
      expect(() => open(-1)).toThrow('try again');
      // Whole now: a body leaves its place before it is closed, an upload may have more to come.
      for (const held of all.slice(0, 1)) waits.push(held.during(Promise.resolve()));
      await Promise.all(waits);
      if (kind === 'upload') {
        expect(() => open(-1)).toThrow('try again');
        all[1]?.close();
      }
      all.push(open(-1));
      expect(() => open(-2)).toThrow('try again');
    } finally {
      for (const held of all) held.close();
    }
  });

  /** Takes all places of bodies. */
  function fill(): Disposable {
    const all = Array.from({ length: MOST.body }, (_, n) => {
      const held = holdBody(2 ** 20, { client: `fills ${n}`, ms: 60_000 });
      held.begin();
      return held;
    });
    return {
      [Symbol.dispose]: () => {
        for (const held of all) held.close();
      },
    };
  }

  it('one more is refused with what it sends unread, until there is room', async () => {
    const { post } = startEdge();
    {
      using _all = fill();
      const refused = await post('/v1/captions', { image: { sha256: 'a'.repeat(64) } });
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await refused.json()).toMatchObject({
        type: '/problems/overloaded',
        detail: 'More bodies come than this place of the service can wait for: try again.',
      });
    }
    const served = await post('/v1/captions', { image: { sha256: 'a'.repeat(64) } });
    expect(served.status).toBe(404);
  });

  it('as is a retry whose body is only compared', async () => {
    const { post } = startEdge();
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const body = { image: { sha256: 'b'.repeat(64) }, question: 'is it compared?' };
    const first = await post('/v1/answers', body, headers);
    using _all = fill();
    const retry = await post('/v1/answers', body, headers);
    expect([first.status, retry.status]).toEqual([404, 503]);
    expect(await retry.json()).toMatchObject({ type: '/problems/overloaded' });
  });
});
