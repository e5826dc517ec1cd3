/** What an item is about, as it is known before its image has been read: found out by rehearsing it, stored until it ends. */
import type { GpuTask, ImageInfo } from '@blip2/shared/wire';

export type ItemSource =
  | { kind: 'none' }
  /** Fetched when the GPU worker asks for it. */
  | { kind: 'url'; url: string }
  /** In the bucket, under the job's own images. */
  | { kind: 'stored'; sha256: string }
  /** In the operator's bucket of images. */
  | { kind: 'object'; key: string }
  /** Query embeddings that are cached; the image's size and format are known with them. */
  | { kind: 'embeddings'; sha256: string; image: ImageInfo };

/** What a GPU worker has to do for an item. */
export type ItemWork = {
  task: GpuTask;
  source: ItemSource;
  /** Of the model that it was tokenized for. */
  revision: string;
};

/**
 * The host of URLs that stand in an item for images that were in it and are in the bucket now. No host has this name, so that a
 * client that writes one names an image of the same job, or none.
 */
const STORED_HOST = 'job-image.invalid';

/** @example storedImageUrl('5e3f…') // 'https://job-image.invalid/5e3f…' */
export function storedImageUrl(sha256: string): string {
  return `https://${STORED_HOST}/${sha256}`;
}

/** The SHA-256 that such a URL names; null for other URLs. */
export function storedImageIn(url: string): string | null {
  const [, sha256] = /^https:\/\/job-image\.invalid\/([0-9a-f]{64})$/.exec(url) ?? [];
  return sha256 ?? null;
}

/**
 * Names an image of the operator's bucket, in items that were made of its keys.
 * @example bucketImageUrl('a b/c.png') // 'https://job-bucket.invalid/a%20b%2Fc.png'
 */
export function bucketImageUrl(key: string): string {
  return `https://job-bucket.invalid/${encodeURIComponent(key)}`;
}

/** The key that such a URL names; null for other URLs. */
export function bucketImageIn(url: string): string | null {
  const [, key] = /^https:\/\/job-bucket\.invalid\/([^/?#]+)$/.exec(url) ?? [];
  try {
    return key === undefined ? null : decodeURIComponent(key);
  } catch {
    return null;
  }
}

/** SHA-256 of the images that the text of an item names so, each once. */
export function storedImagesIn(text: string): string[] {
  const named = text.matchAll(/https:\/\/job-image\.invalid\/([0-9a-f]{64})/g);
  return [...new Set(Array.from(named, ([, sha256 = '']) => sha256))];
}
