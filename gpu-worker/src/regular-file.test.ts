import { spawnSync } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDraft, readText, replaceText, sizeOfDraft } from './regular-file.ts';

let root: string;
let checkpoint: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-files-'));
  checkpoint = join(root, 'checkpoint');
  await mkdir(join(checkpoint, 'qformer_tokenizer'), { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function link(path: string, to: string): Promise<string> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await symlink(to, join(root, path));
  return join(root, path);
}

async function file(path: string, text = 'text'): Promise<string> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
  return join(root, path);
}

describe('a link', () => {
  it.each([
    ['within the folder', 'checkpoint/README.md', 'other.txt', 'checkpoint/other.txt'],
    [
      'from the folder of the second tokenizer',
      'checkpoint/qformer_tokenizer/vocab.txt',
      '../vocab.txt',
      'checkpoint/vocab.txt',
    ],
    [
      "to a blob of Hugging Face's cache",
      'models--o--n/snapshots/main/README.md',
      '../../blobs/0a1b',
      'models--o--n/blobs/0a1b',
    ],
  ])('%s is followed', async (_, path, to, target) => {
    await file(target);
    expect(await readText(await link(path, to))).toBe('text');
  });

  it('of the folder itself is followed', async () => {
    await file('checkpoint/README.md');
    expect(await readText(join(await link('alias', 'checkpoint'), 'README.md'))).toBe('text');
  });

  it.each([
    ['elsewhere', 'checkpoint/README.md', '../secret', 'secret'],
    ['to a folder whose name begins alike', 'checkpoint/a', '../checkpoint-b/a', 'checkpoint-b/a'],
    ['to /dev/zero', 'checkpoint/config.json', '/dev/zero', 'unused'],
    [
      'to a blob of another model',
      'models--o--n/snapshots/main/README.md',
      '../../../models--o--other/blobs/0a1b',
      'models--o--other/blobs/0a1b',
    ],
    [
      'to what is beside the blobs',
      'models--o--n/snapshots/main/README.md',
      '../../refs/main',
      'models--o--n/refs/main',
    ],
  ])('%s is refused by name', async (_, path, to, target) => {
    await file(target);
    const linked = await link(path, to);
    await expect(readText(linked)).rejects.toThrow(
      /\/\w+(\.\w+)? is a link to .*, outside of its folder, and is not followed: put a copy/,
    );
  });

  it('to a blob that is a link elsewhere, or in a folder that is one, is refused', async () => {
    await file('secret');
    await link('models--o--n/blobs/0a1b', '../../secret');
    const path = await link('models--o--n/snapshots/main/README.md', '../../blobs/0a1b');
    await expect(readText(path)).rejects.toThrow(/outside of its folder/);
    await file('elsewhere/vocab.txt');
    await rm(join(checkpoint, 'qformer_tokenizer'), { recursive: true });
    await link('checkpoint/qformer_tokenizer', '../elsewhere');
    const inner = join(checkpoint, 'qformer_tokenizer/vocab.txt');
    await expect(readText(inner)).rejects.toThrow(/outside of its folder/);
  });
});

describe('what is no regular file', () => {
  it('is refused by what it is, and nobody waits for it', async () => {
    const path = join(checkpoint, 'config.json');
    spawnSync('mkfifo', [path]);
    await expect(readText(path)).rejects.toThrow(`${path} is a pipe (FIFO), not a file: put`);
    await expect(readText(join(checkpoint, 'qformer_tokenizer'))).rejects.toThrow(
      /is a folder, not a file/,
    );
    await expect(readText('/dev/zero')).rejects.toThrow('/dev/zero is a device, not a file');
  });
});

describe('a draft', () => {
  it.each<[string, (path: string) => unknown]>([
    ['a pipe (FIFO)', (path) => spawnSync('mkfifo', [path])],
    ['a link', (path) => symlink('config.json', path)],
    ['a folder', (path) => mkdir(path)],
  ])('that is %s is not written', async (what, put) => {
    const other = await file('checkpoint/config.json');
    const path = join(checkpoint, 'draft');
    await put(path);
    const refusal = `${path} is ${what}, not a file`;
    await expect(sizeOfDraft(path)).rejects.toThrow(refusal);
    expect(() => openDraft(path, 'end')).toThrow(refusal);
    expect(await readText(other)).toBe('text');
  });

  it('goes on at its end, or begins again', async () => {
    const path = join(checkpoint, 'draft');
    for (const [from, text, whole] of [
      ['end', 'one', 'one'],
      ['end', 'two', 'onetwo'],
      ['beginning', 'three', 'three'],
    ] as const) {
      const draft = openDraft(path, from);
      writeSync(draft, text);
      closeSync(draft);
      expect(await readText(path)).toBe(whole);
      expect(await sizeOfDraft(path)).toBe(whole.length);
    }
  });
});

describe('a text that replaces what is there', () => {
  it('neither waits for a pipe nor follows a link, also under the name of its draft', async () => {
    const other = await file('elsewhere/other', 'other');
    const path = join(checkpoint, 'known.json');
    const draft = `${path}.${process.pid}.tmp`;
    for (const at of [path, draft]) {
      spawnSync('mkfifo', [at]);
      await replaceText(path, 'first');
      await rm(path);
      await symlink(other, at);
      await replaceText(path, 'second');
      expect(await readText(path)).toBe('second');
      await rm(path);
    }
    expect(await readText(other)).toBe('other');
  });
});

describe('what cannot be read', () => {
  it('is named, with what is wrong and what to do', async () => {
    const circle = await link('checkpoint/circle', 'circle');
    await expect(readText(circle)).rejects.toThrow(
      `${circle} cannot be looked at: its links lead in a circle (ELOOP). Put the file itself there.`,
    );
    await expect(readText(join(checkpoint, 'n'.repeat(300)))).rejects.toThrow(
      /n cannot be looked at: its name is too long \(ENAMETOOLONG\)\. Choose a shorter/,
    );
    await expect(readText(join(await file('plain'), 'inner'))).rejects.toThrow(
      /inner cannot be looked at: a part of its path is no folder \(ENOTDIR\)/,
    );
    await expect(readText(await file('checkpoint/large', 'x'.repeat(11)), 10)).rejects.toThrow(
      /large has 11 bytes, and such a file has 10 at most/,
    );
  });
});
