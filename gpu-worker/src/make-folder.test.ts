import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolder } from './make-folder.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-folder-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('making a folder', () => {
  it('makes those around it, and none that is there', async () => {
    const path = join(root, 'a/b/c');
    await Promise.all([makeFolder(path), makeFolder(path)]);
    await makeFolder(path);
    expect((await stat(path)).isDirectory()).toBe(true);
  });

  it.runIf(process.platform === 'linux').each(['/proc/nope', '/proc/nope/deeper'])(
    'says that %s cannot be made',
    async (path) => {
      await expect(makeFolder(path, 'Choose another.')).rejects.toThrow(
        /The folder \/proc\/nope cannot be made: .*\(ENOENT\)\. Choose another\./,
      );
    },
  );

  it('names the file that stands in the way', async () => {
    await writeFile(join(root, 'file'), '');
    await expect(makeFolder(join(root, 'file/inner'))).rejects.toThrow(
      `${join(root, 'file/inner')} cannot be made: ${join(root, 'file')} is a file`,
    );
  });

  it.skipIf(process.getuid?.() === 0)('says where this user may not write', async () => {
    await chmod(root, 0o500);
    await expect(makeFolder(join(root, 'inner'))).rejects.toThrow(
      /inner cannot be made: permission is denied \(EACCES\)/,
    );
  });
});
