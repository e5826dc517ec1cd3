/** The revision of a checkpoint: SHA-256 over its config and weights. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { naming } from '../file-errors.ts';
import { makeFolder } from '../make-folder.ts';
import { openRegular, readText, replaceText } from '../regular-file.ts';

/** A file, or a text that was derived, under the name that goes into the hash. */
export type RevisionInput = { label: string } & ({ path: string } | { text: string });

/** Whether a revision that is remembered is believed, or computed again. */
export type RevisionCache = 'read' | 'renew';

/**
 * SHA-256 over the names and digests of `config.json` and the weights files, in the order of their names. The result is
 * cached by the files' path, size and time of change: a large checkpoint is not read again at each start.
 * @param cache folder of cached revisions
 * @throws CheckpointError when the folder has no weights
 */
export async function checkpointRevision(
  inputs: readonly RevisionInput[],
  cache: string,
  use: RevisionCache = 'read',
): Promise<string> {
  const marks: string[] = [];
  for (const input of inputs) marks.push(await markOf(input));
  const entry = join(cache, createHash('sha256').update(marks.join('\n')).digest('hex'));
  const cached = use === 'read' ? await readText(entry).catch(() => '') : '';
  if (/^[0-9a-f]{64}$/.test(cached)) return cached;

  const hash = createHash('sha256');
  for (const input of inputs) {
    const digest = 'text' in input ? sha256OfText(input.text) : await sha256OfFile(input.path);
    hash.update(`${input.label} ${digest}\n`);
  }
  const revision = hash.digest('hex');
  // A folder that cannot be written costs time, and no more.
  await makeFolder(cache)
    .then(() => replaceText(entry, revision))
    .catch(() => {});
  return revision;
}

/** Changes whenever the input does, without reading it. */
async function markOf(input: RevisionInput): Promise<string> {
  if ('text' in input) return `${input.label} ${sha256OfText(input.text)}`;
  const { size, mtimeMs, ino } = await stat(input.path);
  return `${input.label} ${resolve(input.path)} ${size} ${mtimeMs} ${ino}`;
}

function sha256OfText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** @throws FileError when it is no regular file of its folder */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await using file = await openRegular(path);
  const chunks = file.createReadStream({ highWaterMark: 1 << 20, autoClose: false });
  await naming(path, async () => {
    for await (const chunk of chunks) hash.update(chunk);
  });
  return hash.digest('hex');
}
