/** Compares the files of a bundle with the digests that its manifest gives. */
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { Piscina } from 'piscina';
import { explained } from '../file-errors.ts';
import { MANIFEST, readManifest } from './manifest.ts';
import { sha256OfFile } from './revision.ts';

type ListedFile = BundleManifest['files'][number];

/** Files up to this size are compared whenever a bundle is looked for; larger ones when it is loaded. */
const SMALL_BYTES = 4 * 2 ** 20;

export function isSmall({ bytes }: ListedFile): boolean {
  return bytes <= SMALL_BYTES;
}

/** Whether a file has the digest that the manifest gives it; a file that cannot be read has not. */
export async function isIntact(bundle: string, { path, sha256 }: ListedFile): Promise<boolean> {
  return (await sha256OfFile(join(bundle, path)).catch(() => null)) === sha256;
}

/**
 * The large files of a bundle that are not what the builder wrote: each is read once, in threads beside the caller's.
 * @returns their paths in the bundle
 * @throws Error when the folder holds no manifest
 */
export async function findDamage(bundle: string): Promise<string[]> {
  const { files } = await readManifest(bundle);
  const large = files.filter((file) => !isSmall(file)).sort((a, b) => b.bytes - a.bytes);
  if (large.length === 0) return [];
  const pool = new Piscina<string, string>({
    filename: new URL('./digest-thread.ts', import.meta.url).href,
    minThreads: 1,
    // One core is left to what loads the model meanwhile, and takes the longer of the two.
    maxThreads: Math.max(1, Math.min(large.length, availableParallelism() - 1)),
  });
  try {
    const digests = await Promise.all(
      large.map(({ path }) => pool.run(join(bundle, path)).catch(() => null)),
    );
    return large.filter(({ sha256 }, i) => digests[i] !== sha256).map(({ path }) => path);
  } finally {
    await pool.destroy();
  }
}

/** Makes a bundle one that is built anew when it is looked for again. */
export async function discardBundle(bundle: string): Promise<void> {
  await explained(() => rm(join(bundle, MANIFEST), { force: true }));
}
