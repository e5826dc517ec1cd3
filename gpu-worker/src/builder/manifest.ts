/** Reads the manifest of a bundle. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BundleManifest,
  type GenerativeManifest,
  type RetrievalManifest,
} from '@blip2/shared/bundle-manifest';
import * as z from 'zod/mini';

export const MANIFEST = 'manifest.json';

/** @throws Error when the folder holds no manifest of this format */
export async function readManifest(bundle: string): Promise<BundleManifest> {
  const path = join(bundle, MANIFEST);
  const result = BundleManifest.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (!result.success) throw new Error(`${path}: ${z.prettifyError(result.error)}`);
  return result.data;
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
