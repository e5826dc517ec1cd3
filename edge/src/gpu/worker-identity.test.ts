import { describe, expect, it, vi } from 'vitest';
import { WorkerIdentity } from './worker-identity.ts';

function start(reply: () => Promise<string | undefined>) {
  let ms = 1_000_000;
  const ask = vi.fn(reply);
  const identity = new WorkerIdentity({ now: () => ms, ask });
  const pass = (more: number) => {
    ms += more;
  };
  return { identity, ask, pass };
}

describe('the fingerprint of the worker', () => {
  it('is asked for once, and again after a while', async () => {
    const { identity, ask, pass } = start(async () => 'a');
    expect(await identity.current()).toBe('a');
    pass(1999);
    expect(await identity.current()).toBe('a');
    expect(ask).toHaveBeenCalledTimes(1);
    pass(1);
    ask.mockResolvedValue('b');
    expect(await identity.current()).toBe('b');
  });

  it('is what a reply has just said', async () => {
    const { identity, ask } = start(async () => 'a');
    identity.observe('b');
    expect(await identity.current()).toBe('b');
    expect(ask).not.toHaveBeenCalled();
  });

  it('is the last one while no worker can be reached, and nobody waits for the next', async () => {
    const { identity, ask, pass } = start(() => Promise.reject(new Error('refused')));
    expect(await identity.current()).toBeUndefined();
    identity.observe('a');
    pass(9000);
    expect(await identity.current()).toBe('a');
    expect(await identity.current()).toBe('a');
    expect(ask).toHaveBeenCalledTimes(2);
  });

  it('is asked for by one of those who want it at the same time', async () => {
    const { identity, ask, pass } = start(async () => 'a');
    await identity.current();
    pass(2000);
    ask.mockResolvedValue('b');
    expect(await Promise.all([identity.current(), identity.current()])).toEqual(['b', 'a']);
    expect(ask).toHaveBeenCalledTimes(2);
  });

  it('is asked for again where the clock has been set back', async () => {
    const { identity, pass } = start(async () => 'b');
    identity.observe('a');
    pass(-60_000);
    expect(await identity.current()).toBe('b');
  });
});
