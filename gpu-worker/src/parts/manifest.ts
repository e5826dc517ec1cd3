/** The lines of a part's images. */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { naming } from '../file-errors.ts';
import { type ObjectStore, placeOf } from './object-store.ts';

export type ManifestOptions = {
  /** Path, or s3://bucket/key; with `{part}`, each part has a manifest of its own. */
  manifest: string;
  part: number;
  partItems: number;
  objects: ObjectStore;
};

/** Five digits, as names of parts have. @example partName(7) // '00007' */
export function partName(part: number): string {
  return String(part).padStart(5, '0');
}

/**
 * Lines of the part from the one with the number `from` on. One manifest for all parts is read from its beginning.
 * @throws Error naming the manifest where it cannot be read
 */
export async function* partLines(
  { manifest, part, partItems, objects }: ManifestOptions,
  from: number,
): AsyncGenerator<string, void, undefined> {
  const isOwn = manifest.includes('{part}');
  const path = manifest.replaceAll('{part}', partName(part));
  const first = (isOwn ? 0 : part * partItems) + from;
  const end = (isOwn ? 0 : part * partItems) + partItems;
  const input = await open(path, objects);
  try {
    let number = 0;
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.trim() === '') continue;
      if (number >= end) return;
      if (number >= first) yield line;
      number++;
    }
  } finally {
    input.destroy();
  }
}

async function open(path: string, objects: ObjectStore): Promise<Readable> {
  const place = placeOf(path);
  if (place !== null) return await objects.read(place);
  return await naming(path, async () => {
    const stream = createReadStream(path);
    await once(stream, 'open');
    return stream;
  });
}
