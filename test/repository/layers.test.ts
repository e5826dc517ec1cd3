/** The linter's layer rules do refuse what the architecture forbids. */
import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

const FORBIDDEN = [
  ['shared/src/a.ts', '@blip2/gpu-worker/http/handle-request'],
  ['shared/src/b.ts', '../../edge/src/app.ts'],
  ['edge/src/a.ts', '@blip2/gpu-worker/http/handle-request'],
  ['edge/src/b.ts', '../../gpu-worker/src/http/handle-request.ts'],
  ['edge/src/c.ts', '../../tools/local-stack.ts'],
  ['gpu-worker/src/a.ts', '../../edge/src/app.ts'],
  ['gpu-worker/src/engine/b.ts', '../../../test/support/test-images.ts'],
] as const;

const ALLOWED = [
  ['edge/src/d.ts', '@blip2/shared/errors'],
  ['gpu-worker/src/c.ts', '@blip2/shared/wire'],
  ['test/end-to-end/a.test.ts', '@blip2/gpu-worker/start-worker'],
] as const;

it('forbidden imports between rooms are lint errors, and no others are', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'layers-'));
  try {
    await cp(join(root, 'biome.json'), join(folder, 'biome.json'));
    for (const [path, imported] of [...FORBIDDEN, ...ALLOWED]) {
      await mkdir(join(folder, dirname(path)), { recursive: true });
      await writeFile(join(folder, path), `export * from '${imported}';\n`);
    }
    const lint = spawnSync(
      join(root, 'node_modules/.bin/biome'),
      ['lint', '--only=style/noRestrictedImports', '--vcs-enabled=false', '--reporter=github', '.'],
      { cwd: folder, encoding: 'utf8' },
    );
    const refused = [...lint.stdout.matchAll(/file=([^,]+),/g)].map(([, file]) =>
      relative(folder, file ?? ''),
    );
    expect(refused.sort()).toEqual(FORBIDDEN.map(([path]) => path).sort());
    expect(lint.status).not.toBe(0);
  } finally {
    await rm(folder, { recursive: true });
  }
});
