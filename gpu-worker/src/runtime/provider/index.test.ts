import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findProvider, probeApart } from './index.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-probe-'));
});
afterAll(() => rm(folder, { recursive: true }));

it('the CPU computes as the CPU does, and as fast', async () => {
  const found = await probeApart('cpu');
  expect(found).toMatchObject({ state: 'loaded', products: true, attention: true });
});

it('auto finds one on this machine', async () => {
  const { provider, why } = await findProvider('auto');
  expect(['cpu', 'webgpu', 'cuda']).toContain(provider);
  expect(why).not.toBe('');
});

it('a driver that ends its process is a reason against it, and nothing else', async () => {
  const entry = join(folder, 'crash.mjs');
  await writeFile(entry, "console.error('bad driver'); process.kill(process.pid, 'SIGSEGV');");
  const reason = 'its probe ended with SIGSEGV: bad driver';
  expect(await probeApart('webgpu', entry)).toEqual({ state: 'failed', reason });
});
