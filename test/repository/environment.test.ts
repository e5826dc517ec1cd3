/** The environment is read in one place, for options that are declared. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Who else may look at it, and why. */
const OTHERS = [
  // What native libraries read, and nobody passes to them.
  'gpu-worker/src/main.ts',
  // Quiets wrangler as it is imported; the GPU worker inherits the rest.
  'tools/local-stack.ts',
];

it('only the entry of a process reads process.env', () => {
  const files = globSync('{shared,gpu-worker,edge}/src/**/*.ts', { cwd: root });
  const tools = globSync('tools/**/*.ts', { cwd: root });
  const readers = [...files, ...tools]
    .filter((path) => !/\.test\.ts$|\/testing\//.test(path))
    .filter((path) =>
      /\bprocess\.env\b|\benv\b.*from 'node:process'/.test(readFileSync(`${root}/${path}`, 'utf8')),
    );
  expect(readers.sort()).toEqual([...OTHERS, 'shared/src/config/configure.ts'].sort());
});
