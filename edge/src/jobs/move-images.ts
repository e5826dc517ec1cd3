/** Moves images that are in an item itself, as base64 or `data:` URLs, into the bucket: what is left of the item is short. */
import { ApiError } from '@blip2/shared/errors';
import { checkImage } from '@blip2/shared/image-format';
import { imageIdOf } from '@blip2/shared/image-id';
import { decodeImageData, isDataUrl } from '../image/image-data.ts';
import { storedImageUrl } from './item-source.ts';

/** Members whose text is an image, wherever they are in a body; `data` holds base64 alone, and becomes `url`. */
const IMAGE_MEMBERS = new Set(['image', 'image_url', 'url', 'data', 'file_data']);
/** Shorter texts are no images, and stay where they are. */
const MIN_LENGTH = 64;
/** Bodies are not nested any deeper. */
const MAX_DEPTH = 32;

/** Puts an image into the bucket. */
export type StoreImage = (sha256: string, bytes: Uint8Array<ArrayBuffer>) => Promise<void>;

/**
 * The same body with URLs in place of its images. What cannot be read stays, so that the item fails with the words that a
 * request would have got.
 * @example await moveImages({ image: { data: '…' } }, limits, store) // { image: { url: 'https://job-image.invalid/5e3f…' } }
 */
export async function moveImages<Body>(
  body: Body,
  limits: { maxBytes: number },
  store: StoreImage,
): Promise<Body> {
  const moved = async (value: unknown, name: string, depth: number): Promise<unknown> => {
    if (typeof value === 'string') {
      return IMAGE_MEMBERS.has(name) ? await movedText(value, name, limits, store) : value;
    }
    if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return value;
    if (Array.isArray(value)) {
      const items: unknown[] = [];
      for (const item of value) items.push(await moved(item, name, depth + 1));
      return items;
    }
    // Which of several is meant is for the item's endpoint to ask.
    if ('data' in value && 'url' in value) return value;
    const members: [string, unknown][] = [];
    for (const [key, member] of Object.entries(value)) {
      const result = await moved(member, key, depth + 1);
      members.push([key === 'data' && result !== member ? 'url' : key, result]);
    }
    return Object.fromEntries(members);
  };
  return (await moved(body, '', 0)) as Body;
}

async function movedText(
  text: string,
  name: string,
  { maxBytes }: { maxBytes: number },
  store: StoreImage,
): Promise<string> {
  const mayBeImage = isDataUrl(text.trim()) || (name !== 'url' && !/^\s*https?:/i.test(text));
  if (!mayBeImage || text.length < MIN_LENGTH) return text;
  try {
    const bytes = decodeImageData(text, name);
    checkImage(bytes, { maxBytes, field: name });
    const sha256 = await imageIdOf(bytes);
    await store(sha256, bytes);
    return storedImageUrl(sha256);
  } catch (error) {
    if (error instanceof ApiError) return text;
    throw error;
  }
}
