import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownStorage } from './own-storage.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'own-storage-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('the storage of npm start', () => {
  it('is that of one process, until it ends', async () => {
    const owned = await ownStorage(folder);
    await expect(ownStorage(folder)).rejects.toThrow(`${folder}: use that one`);
    await owned[Symbol.asyncDispose]();
    await using _next = await ownStorage(folder);
  });

  it('of one that was killed is taken over at once', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    const path = join(folder, 'owner.lock');
    const owner = { host: hostname(), pid: child.pid, token: 'gone' };
    await writeFile(path, JSON.stringify(owner));
    const now = new Date();
    await utimes(path, now, now);
    await using _owned = await ownStorage(folder);
  });

  it('of one that was killed, whose process id another one has, is taken over', async () => {
    const path = join(folder, 'owner.lock');
    await writeFile(path, JSON.stringify({ host: hostname(), pid: process.pid, token: 'gone' }));
    await using _owned = await ownStorage(folder);
  }, 60_000);
});
