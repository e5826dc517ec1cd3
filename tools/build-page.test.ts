/** The page's script, and what its bundler leaves behind. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { buildPage } from './build-page.ts';
import { childOf } from './child-processes.ts';

const ENTRY = fileURLToPath(new URL('../edge/src/page/main.ts', import.meta.url));

it.runIf(process.platform === 'linux')('the bundler leaves no process behind', async () => {
  expect(await buildPage(ENTRY)).toContain('data:image/webp');
  expect(await childOf(process.pid, 'esbuild\0--service')).toBe(0);
});
