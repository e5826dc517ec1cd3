/** The revision of a checkpoint: SHA-256 over its config and weights. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { weightFiles } from './checkpoint/checkpoint.ts';

/**
 * SHA-256 over the names and digests of `config.json` and the weights files, in the order of their names. The result is
 * cached by the files' path, size and time of change: a large checkpoint is not read again at each start.
 * @param cache folder of cached revisions
 * @throws CheckpointError when the folder has no weights
 */
export async function checkpointRevision(folder: string, cache: string): Promise<string> {
  const files = ['config.json', ...(await weightFiles(folder))];
  const states: string[] = [];
  for (const file of files) {
    const { size, mtimeMs, ino } = await stat(join(folder, file));
    states.push(`${resolve(folder, file)} ${size} ${mtimeMs} ${ino}`);
  }
  const entry = join(cache, createHash('sha256').update(states.join('\n')).digest('hex'));
  const cached = await readFile(entry, 'utf8').catch(() => '');
  if (/^[0-9a-f]{64}$/.test(cached)) return cached;

  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file} ${await sha256OfFile(join(folder, file))}\n`);
  const revision = hash.digest('hex');
  await mkdir(cache, { recursive: true });
  await writeFile(entry, revision);
  return revision;
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}
