/** What cannot be written is said before anything is sent, and nothing of the trial stays. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { expectWritable, openOutput } from './output-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'output-'));
});
afterEach(() => rm(folder, { recursive: true }));

const at = (...names: string[]) => join(folder, ...names);
const expectOutput = (output: string) =>
  expectWritable(output, [`${output}.partial`, `${output}.run.json`]);

it('leaves files as they are, and makes none', async () => {
  await writeFile(at('a.partial'), 'half');
  await expectOutput(at('a'));
  expect(await readdir(folder)).toEqual(['a.partial']);
  expect(await readFile(at('a.partial'), 'utf8')).toBe('half');
});

it('refuses what is no place for a file', async () => {
  await mkdir(at('below'));
  await mkdir(at('b.run.json'));
  await writeFile(at('file'), '');
  const refused = async (output: string, words: string) =>
    await expect(expectOutput(output)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(words),
    });
  await refused('', 'The name of the output is empty.');
  await refused(at('below'), `${at('below')} is a folder`);
  await refused(at('none', 'a'), `There is no folder ${at('none')}`);
  await refused(at('file', 'a'), `${at('file')} is no folder.`);
  await refused(at('b'), `${at('b.run.json')} cannot be written: EISDIR`);
  await refused('/dev/null', '/dev/null is no ordinary file.');
  await refused(at('x'.repeat(250)), 'cannot be written: ENAMETOOLONG');
});

it.skipIf(!existsSync('/dev/full'))('says so where the disk is full', async () => {
  await using file = await openOutput('/dev/full', 'w');
  await expect(file.write('a')).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('/dev/full cannot be written any further: ENOSPC'),
  });
});
