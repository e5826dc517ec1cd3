/** The revision of a checkpoint: SHA-256 over its weights and config. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { weightFiles } from './checkpoint/checkpoint.ts';

/**
 * Hashes every byte once and remembers the result under `memory` by path, size and time of change: a
 * large checkpoint is not read again at each start.
 */
export async function checkpointRevision(folder: string, memory: string): Promise<string> {
  const files = ['config.json', ...(await weightFiles(folder))];
  const marks: string[] = [];
  for (const file of files) {
    const { size, mtimeMs, ino } = await stat(join(folder, file));
    marks.push(`${resolve(folder, file)} ${size} ${mtimeMs} ${ino}`);
  }
  const note = join(memory, createHash('sha256').update(marks.join('\n')).digest('hex'));
  const known = await readFile(note, 'utf8').catch(() => '');
  if (/^[0-9a-f]{64}$/.test(known)) return known;

  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file} ${await sha256OfFile(join(folder, file))}\n`);
  const revision = hash.digest('hex');
  await mkdir(memory, { recursive: true });
  await writeFile(note, revision);
  return revision;
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}
