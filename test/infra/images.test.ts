/** The images hold what their commands import, and nothing that is not theirs. The one for processors is also built and run: worker-image.test.ts. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readImports } from '../../tools/layers/read-imports.ts';
import { ROOT } from '../../tools/prepare-edge.ts';

const FOLDER = join(ROOT, 'infra/images');
const read = (name: string) => readFileSync(join(FOLDER, name), 'utf8');
const imports = readImports(ROOT);

/** What the commands of deployments run. */
const ENTRIES = [
  'gpu-worker/src/main.ts',
  'gpu-worker/src/cli/model.ts',
  'infra/src/offline/run-part.ts',
];

/** Files that an entry needs, itself included: what it imports, and what is started beside it. */
function closureOf(entry: string, found = new Set<string>()): Set<string> {
  if (found.has(entry)) return found;
  found.add(entry);
  for (const target of imports.get(entry) ?? []) closureOf(target, found);
  const text = readFileSync(join(ROOT, entry), 'utf8');
  for (const [, name = ''] of text.matchAll(/new URL\('(\.[^']+\.(?:ts|mjs))'/g)) {
    closureOf(join(entry, '..', name), found);
  }
  return found;
}

describe.each(['cpu', 'cuda'])('the image for %s', (kind) => {
  const file = read(`Dockerfile.${kind}`);
  const copied = [...file.matchAll(/^COPY (?!--from)(.+) (\S+)$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );
  const ignore = read(`Dockerfile.${kind}.dockerignore`).split('\n');

  it('copies what there is, and what is let in', () => {
    expect(copied.length).toBeGreaterThan(8);
    for (const path of copied) {
      expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
      const isLetIn = ignore.some(
        (line) =>
          line === `!${path}` ||
          (line === '!*/package.json' && /^\w[\w-]*\/package.json$/.test(path)),
      );
      expect([path, isLetIn]).toEqual([path, true]);
    }
    expect(ignore.find((line) => line !== '' && !line.startsWith('#'))).toBe('*');
  });

  it.each(ENTRIES)('has all that %s imports', (entry) => {
    const needed = [...closureOf(entry)];
    const missing = needed.filter((path) => !copied.some((each) => path.startsWith(each)));
    expect(missing).toEqual([]);
    expect(needed.filter((path) => /\.test\.ts$|\/testing\//.test(path))).toEqual([]);
  });

  it('runs as a user by number, from /app, with a check of its health', () => {
    expect(file).toMatch(/^USER 10001:10001$/m);
    expect(file).toMatch(
      /^HEALTHCHECK .*\\\n {4}CMD \["\/usr\/local\/bin\/node", "infra\/images\/health.mjs"\]$/m,
    );
    expect(file).toMatch(/^CMD \["\/usr\/local\/bin\/node", "gpu-worker\/src\/main.ts"\]$/m);
    // Without one, a user whom the system does not know has no home, and the worker does not start.
    expect(file).toMatch(/^ {4}HOME=\/tmp \\$/m);
    // Debian's buildah knows no heredocs.
    expect(file).not.toContain('<<');
  });
});

it('both let in the same', () => {
  expect(read('Dockerfile.cuda.dockerignore')).toBe(read('Dockerfile.cpu.dockerignore'));
});
