/** From what a request names to an image: its SHA-256 and, unless only that was sent, its bytes. */
import { ApiError } from '@blip2/shared/errors';
import type { ImageReference } from '@blip2/shared/schemas/image';
import type { Settings } from '../config.ts';
import { fetchImage } from './fetch-image.ts';
import { checkImage } from './sniff-format.ts';

export type ImageSource =
  | { kind: 'bytes'; bytes: Uint8Array<ArrayBuffer> }
  | { kind: 'url'; url: string }
  | { kind: 'sha256'; sha256: string };

/** `bytes` is absent when the client sent only the hash. */
export type ImageInput = { sha256: string; bytes?: Uint8Array<ArrayBuffer> };

/** @throws ApiError `no-image`, `several-images` or `invalid-base64` */
export function sourceFromReference(image: ImageReference | undefined): ImageSource {
  const { data, url, sha256 } = image ?? {};
  const given = [data, url, sha256].filter((value) => value !== undefined).length;
  if (given === 0) {
    throw new ApiError('no-image', 'Send the image as image.data, image.url or image.sha256.', {
      field: 'image',
    });
  }
  if (given > 1) {
    throw new ApiError('several-images', 'Give one of image.data, image.url and image.sha256.', {
      field: 'image',
    });
  }
  if (data !== undefined) return { kind: 'bytes', bytes: decodeBase64(data) };
  if (url !== undefined) return { kind: 'url', url };
  return { kind: 'sha256', sha256: sha256 as string };
}

/** @param text base64, or a `data:` URL that holds base64 */
function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const comma = text.startsWith('data:') ? text.indexOf(',') : -1;
  const isBase64Url = comma > 0 && /;base64$/i.test(text.slice(0, comma));
  try {
    if (text.startsWith('data:') && !isBase64Url) throw new SyntaxError('not a base64 data: URL');
    return Uint8Array.fromBase64(text.slice(comma + 1));
  } catch (cause) {
    throw new ApiError('invalid-base64', 'image.data must be base64, or a data: URL with base64.', {
      field: 'image.data',
      cause,
    });
  }
}

/** @throws ApiError when the bytes cannot be an image or cannot be fetched */
export async function resolveImage(
  source: ImageSource,
  settings: Settings,
  signal: AbortSignal,
): Promise<ImageInput> {
  if (source.kind === 'sha256') return { sha256: source.sha256 };
  const bytes =
    source.kind === 'bytes'
      ? source.bytes
      : await fetchImage(source.url, {
          maxBytes: settings.maxImageBytes,
          allowPrivate: settings.allowPrivateImageUrls,
          signal,
        });
  checkImage(bytes, settings.maxImageBytes);
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return { sha256: new Uint8Array(digest).toHex(), bytes };
}
