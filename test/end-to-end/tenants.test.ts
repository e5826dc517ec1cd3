/** Tenants through the whole service: keys with namespaces, both caches of the edge, and those of the GPU worker. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { imageIdOf } from '@blip2/shared/image-id';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const run = promisify(execFile);
const storage = temporaryFolder();

async function createKey(name: string, ...args: string[]): Promise<Record<string, string>> {
  const all = [join(ROOT, 'tools/keys.ts'), 'create', name, ...args, '--storage', storage];
  const { stdout } = await run(process.execPath, all, { cwd: ROOT });
  return { authorization: `Bearer ${(JSON.parse(stdout) as { key: string }).key}` };
}

let stack: Stack;
let acme: Record<string, string>;
let acmeToo: Record<string, string>;
let globex: Record<string, string>;
let shared: Record<string, string>;
beforeAll(async () => {
  acme = await createKey('acme-1', '--namespace', 'acme');
  acmeToo = await createKey('acme-2', '--namespace', 'acme');
  globex = await createKey('globex', '--namespace', 'globex');
  shared = await createKey('shared');
  // Embeddings are what is looked at: whole replies would come before them.
  const vars = { ALLOW_ANONYMOUS: '', CACHE_SECRET: 'end-to-end', REPLY_TTL_HOURS: '0' };
  stack = await startStack({ persist: storage, vars });
});
afterAll(() => stack.stop());

type Answer = { status: number; answer?: string; cache?: string; type?: string; detail?: string };

async function answer(headers: Record<string, string>, image: object): Promise<Answer> {
  const response = await fetch(`${stack.url}/v1/answers`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ image, question: 'what color is the background?' }),
  });
  return { status: response.status, ...((await response.json()) as object) };
}

const remove = (headers: Record<string, string>, sha256: string) =>
  fetch(`${stack.url}/v1/images/${sha256}`, { method: 'DELETE', headers });

/** Look-ups of the worker's caches that found something. */
async function workerHits(): Promise<number> {
  const text = await (await fetch(`${stack.workerUrl}/metrics`)).text();
  const found = text.matchAll(/^blip2_\w+_cache_lookups_total\{result="hit"[^}]*\} (\d+)/gm);
  return [...found].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function imageOf(file: string) {
  const bytes = await readFile(join(ROOT, 'test/scenes', file));
  return { sent: { data: bytes.toString('base64') }, sha256: await imageIdOf(bytes) };
}

describe('an image that a tenant has sent', () => {
  it('is known to all keys of the tenant, and to nobody else: not by its hash, and no part of the service is faster', async () => {
    const { sent, sha256 } = await imageOf('pair-noto-00.webp');
    expect(await answer(acme, sent)).toMatchObject({ status: 200, answer: 'gray', cache: 'miss' });
    expect(await answer(acmeToo, { sha256 })).toMatchObject({ status: 200, cache: 'colo' });
    const never = await answer(globex, { sha256: '0'.repeat(64) });
    for (const other of [globex, shared]) {
      expect(await answer(other, { sha256 })).toEqual(never);
      const before = await workerHits();
      expect(await answer(other, sent)).toMatchObject({ answer: 'gray', cache: 'miss' });
      expect(await workerHits()).toBe(before);
      expect(await answer(other, sent)).toMatchObject({ cache: 'colo' });
      expect(await workerHits()).toBeGreaterThan(before);
    }
  });

  it('is deleted for this tenant alone, with what the GPU worker has of it', async () => {
    const { sent, sha256 } = await imageOf('pair-noto-01.webp');
    for (const who of [acme, globex, shared]) await answer(who, sent);
    const response = await remove(acmeToo, sha256);
    expect([response.status, await response.text()]).toEqual([204, '']);
    const unknown = await answer(acme, { sha256 });
    expect(unknown).toMatchObject({ status: 404, type: '/problems/unknown-image' });
    for (const other of [globex, shared]) {
      expect(await answer(other, { sha256 })).toMatchObject({ status: 200, cache: 'colo' });
    }
    const before = await workerHits();
    expect(await answer(acme, sent)).toMatchObject({ status: 200, cache: 'miss' });
    expect(await workerHits()).toBe(before);
    expect((await remove(acme, '0'.repeat(64))).status).toBe(204);
  });
});

it('a key is not made for an empty name of a tenant, or one that is none', async () => {
  await expect(createKey('x', '--namespace', '')).rejects.toThrow('--namespace');
  await expect(createKey('x', '--namespace=')).rejects.toThrow('--namespace');
  await expect(createKey('x', '--namespace', 'a/b')).rejects.toThrow('the name of a tenant');
});
