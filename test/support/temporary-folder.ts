/** A temporary folder for tests: made before them, removed after them. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';

/**
 * Call it before other hooks, at the top of a file or of a `describe`: the folder lasts as long as its tests.
 * @param lifetime `test` for an empty folder, at the same path, before each of the tests
 * @returns path of the folder
 * @example
 * const bundles = temporaryFolder();
 * it('is built', async () => void (await ensureBundle(checkpoint, { bundles })));
 */
export function temporaryFolder(lifetime: 'suite' | 'test' = 'suite'): string {
  const folder = join(tmpdir(), `blip2-test-${randomUUID()}`);
  const [before, after] = lifetime === 'suite' ? [beforeAll, afterAll] : [beforeEach, afterEach];
  before(async () => void (await mkdir(folder)));
  after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
