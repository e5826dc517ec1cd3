/** Reads the manifest of a bundle. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  BundleManifest,
  type GenerativeManifest,
  type RetrievalManifest,
} from '@blip2/shared/bundle-manifest';
import * as z from 'zod/mini';
import { readText } from '../regular-file.ts';

export const MANIFEST = 'manifest.json';

/** @throws Error when the folder holds no manifest of this format, or one that is not as it was written */
export async function readManifest(bundle: string): Promise<BundleManifest> {
  const path = join(bundle, MANIFEST);
  const written = parse(path, await readText(path));
  const result = BundleManifest.safeParse(written);
  if (!result.success) throw new Error(`${path}: ${z.prettifyError(result.error)}`);
  if (digestOfManifest(written as object) === result.data.digest) return result.data;
  throw new Error(`${path} is damaged. Remove its folder: the bundle is built anew.`);
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path} is damaged. Remove its folder: the bundle is built anew.`, { cause });
  }
}

/** The digest of a manifest, over all its members but this one. */
export function digestOfManifest(manifest: object): string {
  const { digest: _digest, ...rest } = manifest as { digest?: unknown };
  return createHash('sha256').update(JSON.stringify(rest)).digest('hex');
}

/** @throws Error when the bundle is that of a retrieval model */
export async function readGenerativeManifest(bundle: string): Promise<GenerativeManifest> {
  const manifest = await readManifest(bundle);
  if (manifest.kind === 'generate') return manifest;
  throw new Error(
    `${manifest.name} is a retrieval model and generates no text: set it as BLIP2_RETRIEVAL_CHECKPOINT.`,
  );
}

/** @throws Error when the bundle is that of a generative model */
export async function readRetrievalManifest(bundle: string): Promise<RetrievalManifest> {
  const manifest = await readManifest(bundle);
  if (manifest.kind === 'retrieve') return manifest;
  throw new Error(
    `${manifest.name} is a generative model and cannot match images with texts: set it as BLIP2_CHECKPOINT.`,
  );
}
