import { existsSync } from 'node:fs';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lock } from './lock.ts';
import type { Wait } from './retry.ts';

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

/** Leaves a lock that was last touched some time ago. */
async function leave(text: string, ageMs = 0): Promise<void> {
  await (await lock(path, neverWait, signal))[Symbol.asyncDispose]();
  await writeFile(path, text);
  const touched = new Date(Date.now() - ageMs);
  await utimes(path, touched, touched);
}

describe('a lock', () => {
  it('is acquired at once when nobody has it, and gone when it is released', async () => {
    {
      await using _lock = await lock(path, neverWait, signal);
      expect(existsSync(path)).toBe(true);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('is waited for until its owner releases it', async () => {
    const first = await lock(path, neverWait, signal);
    let waits = 0;
    await using _second = await lock(
      path,
      async () => {
        waits += 1;
        if (waits === 3) await first[Symbol.asyncDispose]();
      },
      signal,
    );
    expect(waits).toBe(3);
  });

  it('is had by one at a time, however many want it', async () => {
    let owners = 0;
    let most = 0;
    const work = async () => {
      await using _lock = await lock(path, () => turn(), signal);
      owners += 1;
      most = Math.max(most, owners);
      await turn();
      owners -= 1;
    };
    await Promise.all(Array.from({ length: 20 }, work));
    expect(most).toBe(1);
  });

  it.each([
    ['a process of this machine that is gone', { host: hostname(), pid: 2 ** 30 }, 0],
    ['a machine that has been silent', { host: 'elsewhere', pid: 1 }, 60_000],
  ])('is taken over from %s', async (_name, owner, ageMs) => {
    await leave(JSON.stringify(owner), ageMs);
    await using _lock = await lock(path, neverWait, signal);
  });

  it.each([
    [
      'a process of this machine that lives',
      JSON.stringify({ host: hostname(), pid: process.pid }),
    ],
    ['another machine that was heard of', JSON.stringify({ host: 'elsewhere', pid: 2 ** 30 })],
    ['somebody who is just writing it', ''],
  ])('is left to %s', async (_name, text) => {
    await leave(text);
    await expect(lock(path, neverWait, signal)).rejects.toThrow('waited');
  });
});
