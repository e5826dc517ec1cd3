/** The fingerprint of a worker: what of it decides the tokens of a greedy reply. */
import { createHash } from 'node:crypto';
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import { VERSION } from '@blip2/shared/version';

/** Hexadecimal digits: half of a SHA-256. */
const LENGTH = 32;

/**
 * The same for two workers only where both write the same: the bundle (its digest covers weights, precision, graphs,
 * preprocessing and tokenizer), what computes, and the version of this code.
 * @example fingerprintOf(manifest, 'cpu') // '5e3f…'
 */
export function fingerprintOf(
  { digest }: Pick<GenerativeManifest, 'digest'>,
  executionProvider: string,
): string {
  const parts = JSON.stringify([digest, executionProvider, VERSION]);
  return createHash('sha256').update(parts).digest('hex').slice(0, LENGTH);
}
