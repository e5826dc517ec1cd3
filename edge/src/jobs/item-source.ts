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
  /** Query embeddings that are cached; the image's size and format are known with them. `isStored`: so are its bytes, should they be gone. */
  | { kind: 'embeddings'; sha256: string; image: ImageInfo; isStored?: true };

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

/** Bodies are not nested any deeper. */
const MAX_DEPTH = 32;

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

/**
 * SHA-256 of the images that texts of an item are such URLs of as a whole, each once, in their order: the last of so many.
 * @example storedImagesIn({ image: { url: 'https://job-image.invalid/5e3f…' } }, 4) // ['5e3f…']
 */
export function storedImagesIn(body: unknown, most: number): string[] {
  const named = new Set<string>();
  const visit = (value: unknown, depth: number) => {
    const sha256 = typeof value === 'string' ? storedImageIn(value) : null;
    if (sha256 !== null) {
      // It is where it was last.
      named.delete(sha256);
      named.add(sha256);
    }
    if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return;
    for (const member of Object.values(value)) visit(member, depth + 1);
  };
  visit(body, 0);
  return [...named].slice(-most);
}
