import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { explainFileError, naming } from './file-errors.ts';

/** As Node makes it. */
function errorOf(code: string, syscall: string, path?: string): NodeJS.ErrnoException {
  const error = new Error(`${code}: something, ${syscall}`);
  return Object.assign(error, { code, syscall, errno: -1, ...(path !== undefined && { path }) });
}

const place = { folder: '/srv/bundles', advice: 'BLIP2_BUNDLES chooses another place.' };

describe('an error of the file system', () => {
  it.each([
    [
      'EACCES',
      'open',
      /^\/srv\/bundles\/a cannot be opened: permission is denied \(EACCES\)\. Let the user/,
    ],
    ['EROFS', 'mkdir', /a cannot be made: its file system is read-only \(EROFS\)\. Mount/],
    ['EMFILE', 'open', /a cannot be opened: this process has too many files open .* \(ulimit -n\)/],
    ['EFBIG', 'write', /a cannot be written: .*\(EFBIG\)\. Raise the limit \(ulimit -f\)\./],
    ['ENOSPC', 'mkdir', /a cannot be made: the disk is full \(\d+ MB are free\) \(ENOSPC\)\. Free/],
    ['EIO', 'read', /a cannot be read: the disk fails \(EIO\)\. Check the disk/],
    ['EODD', 'read', /a cannot be read: EODD: something, read\./],
  ])('%s names the file, what was wanted, and the remedy', async (code, syscall, message) => {
    const why = await explainFileError(errorOf(code, syscall, '/srv/bundles/a'), [place]);
    expect(why).toMatch(message);
    expect(why).toMatch(/ BLIP2_BUNDLES chooses another place\.$/);
  });

  it('of a file elsewhere has no advice about a place', async () => {
    const why = await explainFileError(errorOf('EIO', 'read', '/srv/bundles-2/a'), [place]);
    expect(why).not.toContain('BLIP2_BUNDLES');
  });

  it('of an open file is named by whoever works on it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'blip2-errors-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, 'a');
    await writeFile(path, '');
    const failed = naming(path, () => Promise.reject(errorOf('ENOSPC', 'write')));
    const error = await failed.catch((cause: unknown) => cause);
    expect(await explainFileError(error)).toMatch(
      new RegExp(`^${path} cannot be written: the disk is full .* TMPDIR chooses another place`),
    );
  });

  it('differs from those of connections, and from all others', async () => {
    expect(await explainFileError(errorOf('ECONNRESET', 'read'))).toBe(null);
    expect(await explainFileError(new TypeError('not ours'))).toBe(null);
  });
});
