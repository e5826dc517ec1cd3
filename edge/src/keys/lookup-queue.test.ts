import { afterEach, describe, expect, it, vi } from 'vitest';
import { WorkInHand } from '../work-in-hand.ts';
import { LookupQueue } from './lookup-queue.ts';

afterEach(() => void vi.unstubAllGlobals());

describe('look-ups without an address', () => {
  function narrow() {
    const clock = { now: Date.now() };
    const queue = new LookupQueue(new WorkInHand(1, () => clock.now), () => clock.now);
    return { clock, queue };
  }

  it('have places in the order in which they came', async () => {
    const { queue } = narrow();
    const first = await queue.take();
    const order: string[] = [];
    const take = async (name: string) => {
      using _place = await queue.take();
      order.push(name);
    };
    const others = ['second', 'third', 'fourth'].map(take);
    first.leave();
    await Promise.all([...others, take('last')]);
    expect(order).toEqual(['second', 'third', 'fourth', 'last']);
  });

  it('are woken one after the other as places are freed, and look hardly ever by themselves', async () => {
    const { queue } = narrow();
    const first = await queue.take();
    const looks: number[] = [];
    // None of their timers ever comes.
    vi.stubGlobal('setTimeout', (_: () => void, ms: number) => looks.push(ms));
    let served = 0;
    const waiting = Array.from({ length: 300 }, async () => {
      (await queue.take()).leave();
      served++;
      queue.freed();
    });
    first.leave();
    queue.freed();
    await Promise.all(waiting);
    expect(served).toBe(300);
    expect(looks).toHaveLength(300);
    expect(looks.filter((ms) => ms < 250)).toHaveLength(1);
  });

  it('wait for two seconds at most', async () => {
    const { clock, queue } = narrow();
    using _first = await queue.take();
    const late = queue.take();
    clock.now += 2000;
    await expect(late).rejects.toMatchObject({ slug: 'overloaded' });
  });

  it('wait with 511 others, of whom those that left do not count', async () => {
    const { queue } = narrow();
    const first = await queue.take();
    const client = new AbortController();
    const waiting = Array.from({ length: 512 }, () => queue.take(client.signal));
    const settled = Promise.allSettled(waiting);
    await expect(queue.take()).rejects.toMatchObject({ slug: 'overloaded' });
    client.abort();
    first.leave();
    using _next = await queue.take();
    expect((await settled).every(({ status }) => status === 'rejected')).toBe(true);
  });

  it('pass over one whose request was stopped', async () => {
    const { clock, queue } = narrow();
    const first = await queue.take();
    // Its timer never fires again.
    const { setTimeout } = globalThis;
    vi.stubGlobal('setTimeout', () => 0);
    queue.take().catch(() => {});
    vi.stubGlobal('setTimeout', setTimeout);
    first.leave();
    clock.now += 1001;
    using _next = await queue.take();
  });
});
