/** Checks size, media type and first bytes of an image: what cannot be an image is not sent to the GPU worker. */
import { ApiError } from '@blip2/shared/errors';
import { bodyTooLarge } from '../http/read-limited.ts';

const SUPPORTED_TYPES = new Set([
  'image/jpeg',
  'image/jpg',
  'image/png',
  'image/webp',
  'image/gif',
  'image/avif',
]);
const SUPPORTED = 'JPEG, PNG, WebP, GIF or AVIF';

export function isSupportedImageType(type: string): boolean {
  return SUPPORTED_TYPES.has(type);
}

/**
 * Refuses what cannot be a supported image. Whether it can be decoded, only the GPU worker knows.
 * @throws ApiError `no-image`, `body-too-large`, `unsupported-media-type` or `invalid-image`
 */
export function checkImage(bytes: Uint8Array, maxBytes: number): void {
  if (bytes.byteLength === 0) {
    throw new ApiError('no-image', 'The image is empty.', { field: 'image' });
  }
  if (bytes.byteLength > maxBytes) throw bodyTooLarge(maxBytes, bytes.byteLength);
  const format = sniff(bytes);
  if (format === 'supported') return;
  if (format === 'unknown') {
    throw new ApiError('invalid-image', `These bytes are not an image; send ${SUPPORTED}.`, {
      field: 'image',
    });
  }
  throw new ApiError('unsupported-media-type', `${format} is not supported; send ${SUPPORTED}.`, {
    field: 'image',
  });
}

/** @throws ApiError `unsupported-media-type` */
export function checkImageType(type: string): void {
  if (isSupportedImageType(type)) return;
  throw new ApiError(
    'unsupported-media-type',
    `${type === '' ? 'A body without a content-type' : type} is not supported; send ${SUPPORTED}, multipart/form-data or application/json.`,
  );
}

/** First bytes, as Latin-1 text at an offset. */
const SIGNATURES: readonly { at: number; text: string; format: string }[] = [
  { at: 0, text: '\xff\xd8\xff', format: 'supported' },
  { at: 0, text: '\x89PNG\r\n\x1a\n', format: 'supported' },
  { at: 0, text: 'GIF87a', format: 'supported' },
  { at: 0, text: 'GIF89a', format: 'supported' },
  { at: 8, text: 'WEBP', format: 'supported' },
  { at: 0, text: 'II*\0', format: 'TIFF' },
  { at: 0, text: 'MM\0*', format: 'TIFF' },
  { at: 0, text: 'BM', format: 'BMP' },
  { at: 0, text: '%PDF', format: 'PDF' },
  { at: 0, text: '\0\0\x01\0', format: 'ICO' },
  { at: 0, text: '\xff\x0a', format: 'JPEG XL' },
  { at: 4, text: 'JXL ', format: 'JPEG XL' },
  { at: 4, text: 'jP  ', format: 'JPEG 2000' },
  { at: 0, text: '8BPS', format: 'PSD' },
  { at: 0, text: 'PK\x03\x04', format: 'ZIP' },
];

/** `supported`, `unknown`, or the name of a format that is known but not supported. */
function sniff(bytes: Uint8Array): string {
  const head = String.fromCharCode(...bytes.subarray(0, 256));
  if (head.startsWith('ftyp', 4)) return sniffIsoMedia(bytes, head);
  const match = SIGNATURES.find(({ at, text }) => head.startsWith(text, at));
  if (match) return match.text === 'WEBP' && !head.startsWith('RIFF') ? 'unknown' : match.format;
  const start = head
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
    .toLowerCase();
  if (start.startsWith('<svg') || start.startsWith('<?xml')) return 'SVG';
  if (start.startsWith('<!doctype') || start.startsWith('<html')) return 'HTML';
  return 'unknown';
}

/** ISO base media: the brands in the first box distinguish AVIF from HEIC and from videos. */
function sniffIsoMedia(bytes: Uint8Array, head: string): string {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const brands = head.slice(8, Math.min(size, head.length)).match(/.{4}/gs) ?? [];
  if (brands.some((brand) => brand === 'avif' || brand === 'avis')) return 'supported';
  if (brands.some((brand) => /^(hei|hev|mif1|msf1)/.test(brand))) return 'HEIC';
  return 'ISO media';
}
