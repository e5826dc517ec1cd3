/** The environment is read in one place, for options that are declared. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Other files that may read it, and why. */
const OTHERS = [
  // Set variables that native libraries read; the second passes on those that AWS's packages read.
  'gpu-worker/src/main.ts',
  'gpu-worker/src/part.ts',
  // Stand in the place of a GPU worker, and read its options.
  'tools/bench/loading.ts',
  'tools/bench/one-load.ts',
  'tools/prove-jobs/stub-worker.ts',
  // Gets what another process of the proof sets.
  'tools/prove-jobs/poison-hook.ts',
  // Reads the options of one of its commands.
  'tools/cli/command.ts',
  // Reads where a queue is that others have started.
  'tools/prove-jobs.ts',
  // Names what is set and not read.
  'tools/start.ts',
  // Pass their environment on to a process that they start; the first, little of it.
  'gpu-worker/src/image/decode-process.ts',
  'tools/build-worker.ts',
  'tools/keys.ts',
  'tools/prove-jobs/prove-million.ts',
  'tools/chaos/scenarios/files.ts',
  'tools/chaos/scenarios/processes.ts',
  'tools/worker-process.ts',
  // Sets variables that wrangler reads when it is imported, and miniflare's path to workerd.
  'tools/serve-worker.ts',
];

it('process.env is read by the entry of a process and by the listed files only', () => {
  const files = globSync('{shared,gpu-worker,edge}/src/**/*.ts', { cwd: root });
  const tools = globSync('tools/**/*.ts', { cwd: root });
  const readers = [...files, ...tools]
    .filter((path) => !/\.test\.ts$|\/testing\//.test(path))
    .filter((path) =>
      /\bprocess\.env\b|\benv\b.*from 'node:process'/.test(readFileSync(`${root}/${path}`, 'utf8')),
    );
  expect(readers.sort()).toEqual([...OTHERS, 'shared/src/config/configure.ts'].sort());
});
