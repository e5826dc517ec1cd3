import { existsSync } from 'node:fs';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lock } from './process-lock.ts';

type Wait = Parameters<typeof lock>[1]['wait'];

let folder: string;
let path: string;
let number = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-lock-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  path = join(folder, String(++number), 'lock');
});

const { signal } = new AbortController();
const neverWait: Wait = () => Promise.reject(new Error('waited'));

/** Leaves a lock that somebody had long ago, by the clock. */
async function leave(text: string): Promise<void> {
  await (await lock(path, { wait: neverWait, signal }))[Symbol.asyncDispose]();
  await writeFile(path, text);
  const touched = new Date(0);
  await utimes(path, touched, touched);
}

describe('a lock', () => {
  it('is acquired at once when nobody has it, and gone when it is released', async () => {
    {
      await using _lock = await lock(path, { wait: neverWait, signal });
      expect(existsSync(path)).toBe(true);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('is waited for until its owner releases it', async () => {
    const first = await lock(path, { wait: neverWait, signal });
    let waits = 0;
    const wait = async () => {
      waits += 1;
      if (waits === 3) await first[Symbol.asyncDispose]();
    };
    await using _second = await lock(path, { wait, signal });
    expect(waits).toBe(3);
  });

  it('is had by one at a time, however many want it', async () => {
    let owners = 0;
    let most = 0;
    const work = async () => {
      await using _lock = await lock(path, { wait: () => turn(), signal });
      owners += 1;
      most = Math.max(most, owners);
      await turn();
      owners -= 1;
    };
    await Promise.all(Array.from({ length: 20 }, work));
    expect(most).toBe(1);
  });

  it('is taken over at once from a process of this machine that is gone', async () => {
    await leave(JSON.stringify({ host: hostname(), pid: 2 ** 30 }));
    await using _lock = await lock(path, { wait: neverWait, signal });
  });

  it.each([
    ['another machine', JSON.stringify({ host: 'elsewhere', pid: 1 })],
    ['a process whose id another one has now', JSON.stringify({ host: hostname(), pid: 1 })],
    ['nobody: it is damaged', '{"host":'],
  ])('of %s is taken over once it was watched for long and nobody touched it', async (_, text) => {
    await leave(text);
    let watchedMs = 0;
    const wait = async (ms: number) => {
      watchedMs += ms;
    };
    await using _lock = await lock(path, { wait, signal, now: () => watchedMs });
    expect(watchedMs).toBe(20_000);
  });

  it('of an owner that touches it is waited for, whatever the times of the clock are', async () => {
    await leave(JSON.stringify({ host: 'elsewhere', pid: 1 }));
    let watchedMs = 0;
    const wait = async (ms: number) => {
      watchedMs += ms;
      if (watchedMs > 100_000) throw new Error('waited');
      // A clock that stands years before or after that of whoever watches.
      if (watchedMs % 5000 === 0) await utimes(path, watchedMs, watchedMs);
    };
    const waiting = lock(path, { wait, signal, now: () => watchedMs });
    await expect(waiting).rejects.toThrow('waited');
  });

  it('that was lost to another is left to that one', async () => {
    const lost = await lock(path, { wait: neverWait, signal });
    await rm(path);
    await using _other = await lock(path, { wait: neverWait, signal });
    await lost[Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(true);
  });

  it.each([
    [
      'a process of this machine that lives',
      JSON.stringify({ host: hostname(), pid: process.pid }),
    ],
    ['another machine', JSON.stringify({ host: 'elsewhere', pid: 2 ** 30 })],
    ['somebody who is just writing it', ''],
  ])('is left to %s', async (_name, text) => {
    await leave(text);
    await expect(lock(path, { wait: neverWait, signal })).rejects.toThrow('waited');
  });
});
