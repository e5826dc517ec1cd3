import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../../../test/support/temporary-folder.ts';
import { findProvider, probeInProcess } from './index.ts';

const folder = temporaryFolder();

it('the CPU is probed as right in everything', async () => {
  const found = await probeInProcess('cpu');
  expect(found).toMatchObject({ state: 'loaded', products: true, attention: true });
});

it('auto chooses a provider on this machine, with a reason', async () => {
  const { provider, why } = await findProvider('auto');
  expect(['cpu', 'webgpu', 'cuda']).toContain(provider);
  expect(why).not.toBe('');
});

it('a driver that crashes its process fails the probe alone', async () => {
  const entry = join(folder, 'crash.mjs');
  await writeFile(entry, "console.error('bad driver'); process.kill(process.pid, 'SIGSEGV');");
  const reason = 'its probe ended with SIGSEGV: bad driver';
  expect(await probeInProcess('webgpu', entry)).toEqual({ state: 'failed', reason });
});
