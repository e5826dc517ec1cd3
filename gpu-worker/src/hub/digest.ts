/** Digests of files as a hub lists them. */
import { createHash, type Hash } from 'node:crypto';
import { openRegular } from '../regular-file.ts';
import type { HubFile } from './client.ts';

/** A hash that gives the file's digest once it was fed all its bytes. */
export function newHash({ digest, size }: HubFile): Hash {
  if (digest.algorithm === 'sha256') return createHash('sha256');
  // The id of a blob in git is over this header and the bytes.
  return createHash('sha1').update(`blob ${size}\0`);
}

export async function feed(hash: Hash, path: string): Promise<void> {
  await using file = await openRegular(path);
  const chunks = file.createReadStream({ highWaterMark: 1 << 20, autoClose: false });
  for await (const chunk of chunks) hash.update(chunk);
}

/** Hex digest of a file on disk, of the kind that the hub gives for `file`. */
export async function digestOf(path: string, file: HubFile): Promise<string> {
  const hash = newHash(file);
  await feed(hash, path);
  return hash.digest('hex');
}
