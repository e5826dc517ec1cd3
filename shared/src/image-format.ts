/** Whether bytes are an image that is decoded here: asked at the edge and again in the GPU worker, by the same table. */
import { ApiError } from './errors.ts';
import {
  type Accepted,
  FILM,
  FIRST_TAGS,
  HEIC,
  type ImageFormat,
  OTHER_HEIF,
  PLAIN_TEXT,
  RAW_PHOTO,
  type Refused,
  SIGNATURES,
  TEXTS,
} from './image-signatures.ts';
import { withoutPrologue } from './markup-head.ts';

export type Sniffed = Accepted | Refused | { kind: 'unknown' };

/** As errors name them. */
export const FORMAT_NAMES: Record<ImageFormat, string> = {
  jpeg: 'JPEG',
  png: 'PNG',
  webp: 'WebP',
  gif: 'GIF',
  avif: 'AVIF',
};
const ACCEPTED = 'JPEG, PNG, WebP, GIF or AVIF';

/** How much of a file is looked at, bytes. */
const HEAD_LENGTH = 1024;

/**
 * What a file is by its first bytes. Its label is not asked: not its name, and not the media type that somebody gave it.
 * @example sniff(bytes) // { kind: 'other-image', name: 'a TIFF image', remedy: 'Convert it: …' }
 */
export function sniff(bytes: Uint8Array): Sniffed {
  const head = String.fromCharCode(...bytes.subarray(0, HEAD_LENGTH));
  if (head.startsWith('ftyp', 4)) return sniffIsoMedia(head);
  const signature = SIGNATURES.find(({ parts }) =>
    parts.every(([at, text]) => head.startsWith(text, at)),
  );
  return signature?.is ?? sniffText(head) ?? sniffDisplaced(head) ?? { kind: 'unknown' };
}

/** @throws ApiError `no-image` or `body-too-large` when an image cannot have that many bytes */
export function expectImageBytes(
  count: number,
  { maxBytes, field }: { maxBytes: number; field?: string },
): void {
  const at = field === undefined ? {} : { field };
  if (count === 0) throw new ApiError('no-image', 'The image is empty.', at);
  if (count <= maxBytes) return;
  const detail = `The image has more than ${maxBytes} bytes.`;
  throw new ApiError('body-too-large', detail, { limit: maxBytes, actual: count, ...at });
}

/**
 * The format of an image that can be decoded, as far as its first bytes tell.
 * @param limits most bytes, and the field of the request that the image came in, where that is known
 * @throws ApiError `no-image`, `body-too-large`, `unsupported-media-type` (what else it is, and how to convert it) or
 *   `invalid-image` (nothing that has a media type)
 */
export function checkImage(
  bytes: Uint8Array,
  { maxBytes, field }: { maxBytes: number; field?: string },
): ImageFormat {
  const at = field === undefined ? {} : { field };
  expectImageBytes(bytes.byteLength, { maxBytes, ...at });
  const sniffed = sniff(bytes);
  if (sniffed.kind === 'image') return sniffed.format;
  if (sniffed.kind === 'unknown') {
    const detail = `These bytes begin as no image does: they are damaged, or something else. Accepted are ${ACCEPTED}.`;
    throw new ApiError('invalid-image', detail, at);
  }
  const slug = sniffed === PLAIN_TEXT ? 'invalid-image' : 'unsupported-media-type';
  throw new ApiError(slug, refusalOf(sniffed), at);
}

/** What is wrong and what to do about it. */
export function refusalOf({ kind, name, remedy }: Refused): string {
  const verdict = kind === 'other-image' ? 'which is not decoded here' : 'not an image';
  return `This is ${name}, ${verdict}. ${remedy}`;
}

const HEVC_BRAND = /^he[iv][cxms]$/;
/** AVC, JPEG, JPEG 2000, VVC and EVC in HEIF. */
const OTHER_HEIF_BRAND = /^(avc|j2k|jpg|vvc|evb|evm)[is]$|^j2is$|^jpgs$/;
const HEIF_BRAND = /^(mif[123]|msf1|miaf)$/;

/** ISO base media: the brands in the first box distinguish AVIF from HEIC and from films. */
function sniffIsoMedia(head: string): Sniffed {
  const size = [0, 1, 2, 3].reduce((value, at) => value * 256 + head.charCodeAt(at), 0);
  const brands = head.slice(8, Math.min(size, head.length)).match(/.{4}/gs) ?? [];
  const has = (pattern: RegExp) => brands.some((brand) => pattern.test(brand));
  if (has(/^avi[fs]$/)) return { kind: 'image', format: 'avif' };
  if (has(HEVC_BRAND)) return HEIC;
  if (has(/^crx $/)) return RAW_PHOTO;
  if (has(OTHER_HEIF_BRAND)) return OTHER_HEIF;
  // HEIF names its compression as an item's type, further inside: the decoder refuses what is not AV1.
  if (has(HEIF_BRAND)) return head.includes('hvc1') ? HEIC : { kind: 'image', format: 'avif' };
  return FILM;
}

function sniffText(head: string): Refused | undefined {
  const text = head.replace(/^\xef\xbb\xbf/, '').trimStart();
  const behind = withoutPrologue(text);
  const tag = FIRST_TAGS.find(([pattern]) => pattern.test(behind));
  return (tag ?? TEXTS.find(([pattern]) => pattern.test(text)))?.[1];
}

/** An image behind something that does not belong to it: a script's line break, a byte order mark, a header. */
function sniffDisplaced(head: string): Refused | undefined {
  const at = head.search(/\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n|GIF8[79]a|RIFF.{4}WEBPVP8/s);
  if (at < 0) return undefined;
  const name = `an image behind ${at} ${at === 1 ? 'byte' : 'bytes'} of something else`;
  return { kind: 'no-image', name, remedy: 'Remove what stands before the image.' };
}
