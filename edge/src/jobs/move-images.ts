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
/**
 * An item is about one image, the last of a conversation. Those before it are moved where that makes the item much shorter; smaller ones,
 * of which a line may have thousands, stay where they are.
 */
const LARGE_LENGTH = 2 ** 14;
/**
 * Of a body that is longer small ones are moved too, from the largest on, until it is not: what waits of an item has half a million
 * characters at most. None where so many would not suffice.
 */
const MAX_LEFT = 300_000;
const MAX_SMALL = 512;
const URL_LENGTH = storedImageUrl('0'.repeat(64)).length;
/** Bodies are not nested any deeper. */
const MAX_DEPTH = 32;

/** Puts an image into the bucket. */
export type StoreImage = (sha256: string, bytes: Uint8Array<ArrayBuffer>) => Promise<void>;

type Options = {
  maxBytes: number;
  /** Of the body as JSON, characters, at least. */
  length?: number;
  /** Called before each text is read that may be an image. @param length of it, characters */
  pause?: (length: number) => Promise<void>;
};

/**
 * The same body with URLs in place of its images. What cannot be read stays, so that the item fails with the words that a
 * request would have got.
 * @example await moveImages({ image: { data: '…' } }, limits, store) // { image: { url: 'https://job-image.invalid/5e3f…' } }
 */
export async function moveImages<Body>(
  body: Body,
  options: Options,
  store: StoreImage,
): Promise<Body> {
  /** How often each is there. */
  const found = new Map<string, number>();
  changedTexts(body, (text) => {
    const times = (found.get(text) ?? 0) + 1;
    // The last is where it was last.
    found.delete(text);
    found.set(text, times);
    return text;
  });
  const texts = [...found.keys()];
  const moved = new Map<string, string>();
  const move = async (text: string) => {
    await options.pause?.(text.length);
    const url = await storedText(text, options, store);
    if (url !== null) moved.set(text, url);
  };
  for (const [index, text] of texts.entries()) {
    if (index === texts.length - 1 || text.length >= LARGE_LENGTH) await move(text);
  }
  const small = texts.filter((text) => !moved.has(text) && text.length < LARGE_LENGTH);
  for (const text of needed(small, found, excessOf(options.length ?? 0, found, moved))) {
    await move(text);
  }
  if (moved.size === 0) return body;
  return changedTexts(body, (text) => moved.get(text) ?? text) as Body;
}

/** Characters that a body has too many when some of its images are moved. */
function excessOf(
  length: number,
  found: ReadonlyMap<string, number>,
  moved: ReadonlyMap<string, string>,
): number {
  let left = length;
  for (const [text, url] of moved) left -= (found.get(text) ?? 0) * (text.length - url.length);
  return left - MAX_LEFT;
}

/** Those that are to be moved so that a body has so many characters less; none where that does not suffice. */
function needed(
  texts: readonly string[],
  found: ReadonlyMap<string, number>,
  excess: number,
): string[] {
  if (excess <= 0) return [];
  const sizeOf = (text: string) => (found.get(text) ?? 0) * (text.length - URL_LENGTH);
  const largest = texts.toSorted((a, b) => sizeOf(b) - sizeOf(a)).slice(0, MAX_SMALL);
  let left = excess;
  const count = largest.findIndex((text) => {
    left -= sizeOf(text);
    return left <= 0;
  });
  return largest.slice(0, count + 1);
}

/** The same value with other texts where those are that may be images. */
function changedTexts(
  value: unknown,
  change: (text: string) => string,
  name = '',
  depth = 0,
): unknown {
  if (typeof value === 'string') return mayBeImage(value, name) ? change(value) : value;
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return value;
  if (Array.isArray(value)) {
    return value.map((item) => changedTexts(item, change, name, depth + 1));
  }
  // Which of several is meant is for the item's endpoint to ask.
  if ('data' in value && 'url' in value) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      const result = changedTexts(member, change, key, depth + 1);
      const isMoved = key === 'data' && typeof member === 'string' && result !== member;
      return [isMoved ? 'url' : key, result];
    }),
  );
}

function mayBeImage(text: string, name: string): boolean {
  if (text.length < MIN_LENGTH || !IMAGE_MEMBERS.has(name)) return false;
  return (name !== 'url' && !/^\s*https?:/i.test(text)) || isDataUrl(text.trimStart());
}

/** @returns null where it is no image */
async function storedText(
  text: string,
  { maxBytes }: Options,
  store: StoreImage,
): Promise<string | null> {
  try {
    const bytes = decodeImageData(text, 'image');
    checkImage(bytes, { maxBytes, field: 'image' });
    const sha256 = await imageIdOf(bytes);
    await store(sha256, bytes);
    return storedImageUrl(sha256);
  } catch (error) {
    if (error instanceof ApiError) return null;
    throw error;
  }
}
