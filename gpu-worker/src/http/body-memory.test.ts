import { afterEach, describe, expect, it, vi } from 'vitest';
import { BodyMemory } from './body-memory.ts';

afterEach(() => vi.useRealTimers());

const { signal } = new AbortController();

describe('memory for bodies', () => {
  it('is charged until it is released, once', async () => {
    const memory = new BodyMemory(10);
    const held = await memory.take(7, signal);
    expect(memory.held).toBe(7);
    held[Symbol.dispose]();
    held[Symbol.dispose]();
    expect(memory.held).toBe(0);
  });

  it('is never more than its limit, and goes to those who wait in their order', async () => {
    const memory = new BodyMemory(10);
    const order: string[] = [];
    const enter = async (name: string, bytes: number) => {
      const held = await memory.take(bytes, signal);
      order.push(name);
      expect(memory.held).toBeLessThanOrEqual(10);
      return held;
    };
    const first = await enter('first', 6);
    const large = enter('large', 9);
    const small = enter('small', 1);
    await Promise.resolve();
    expect(order).toEqual(['first']);
    first[Symbol.dispose]();
    const [nine] = await Promise.all([large, small]);
    expect(order).toEqual(['first', 'large', 'small']);
    nine[Symbol.dispose]();
    expect(memory.held).toBe(1);
  });

  it('that is waited for by somebody who leaves goes to the next', async () => {
    const memory = new BodyMemory(10);
    await memory.take(6, signal);
    const leaving = new AbortController();
    const large = memory.take(9, leaving.signal);
    const small = memory.take(2, signal);
    leaving.abort(new Error('gone'));
    await expect(large).rejects.toThrow('gone');
    await small;
    expect(memory.held).toBe(8);
  });

  it('that does not come for seconds is refused with when to come again', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const memory = new BodyMemory(10);
    await memory.take(10, signal);
    const waiting = memory.take(1, signal);
    const refusal = expect(waiting).rejects.toMatchObject({
      slug: 'overloaded',
      extras: { retry_after: 1 },
    });
    await vi.advanceTimersByTimeAsync(5000);
    await refusal;
  });

  it('is retained up to a quarter, and while the largest body of others has room', () => {
    const memory = new BodyMemory(100);
    const first = memory.retain(20, 50);
    expect(first).not.toBeNull();
    expect(memory.retain(6, 50)).toBeNull();
    expect(memory.retain(5, 76)).toBeNull();
    expect(memory.retain(5, 75)).not.toBeNull();
    first?.[Symbol.dispose]();
    first?.[Symbol.dispose]();
    expect(memory.retain(20, 50)).not.toBeNull();
    expect(memory.retain(1, 50)).toBeNull();
  });
});
