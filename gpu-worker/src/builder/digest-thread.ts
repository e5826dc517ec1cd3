/** A thread that computes the SHA-256 of files: synchronous reads, which cost it nothing but its own time. */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { openRegular } from '../regular-file.ts';

// Fits the cache of a core: what loads the model meanwhile has the memory for itself.
const CHUNK_BYTES = 2 ** 18;

/** @returns hex digits */
export default async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  await using file = await openRegular(path);
  for (let count = readSync(file.fd, chunk); count > 0; count = readSync(file.fd, chunk)) {
    hash.update(chunk.subarray(0, count));
  }
  return hash.digest('hex');
}
