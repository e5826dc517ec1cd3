/** From the source that a request names to an image: its id and, unless only that was sent, its bytes. */
import { ApiError } from '@blip2/shared/errors';
import { checkImage } from '@blip2/shared/image-format';
import { type ImageId, imageIdOf } from '@blip2/shared/image-id';
import type { ImageReference } from '@blip2/shared/schemas/image';
import type { Dependencies } from '../dependencies.ts';
import type { RequestContext } from '../request-context.ts';
import { fetchImage } from './fetch-image.ts';

/** How a request names its image. */
export type ImageSource =
  | { kind: 'bytes'; bytes: Uint8Array<ArrayBuffer> }
  | { kind: 'url'; url: string }
  | { kind: 'sha256'; sha256: string };

/** An image as it is carried along: `bytes`, as they were sent, are absent when the client sent only the hash. */
export type ImageInput = { id: ImageId; bytes?: Uint8Array<ArrayBuffer> };

/**
 * @example sourceFromReference({ url: 'https://example.com/a.png' }) // { kind: 'url', url: 'https://…' }
 * @throws ApiError `no-image`, `several-images` or `invalid-base64`
 */
export function sourceFromReference(image: ImageReference | undefined): ImageSource {
  const { data, url, sha256 } = image ?? {};
  const given = [data, url, sha256].filter((value) => value !== undefined).length;
  if (given === 0) {
    throw new ApiError('no-image', 'Send the image as image.data, image.url or image.sha256.', {
      field: 'image',
    });
  }
  if (given > 1) {
    throw new ApiError('several-images', 'Send one of image.data, image.url and image.sha256.', {
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

/** Fetches a URL, refuses bytes that are no image, and computes the image id. @throws ApiError */
export async function resolveImage(
  { config, fetch }: Pick<Dependencies, 'config' | 'fetch'>,
  source: ImageSource,
  { signal }: RequestContext,
): Promise<ImageInput> {
  if (source.kind === 'sha256') return { id: source.sha256 };
  const maxBytes = config.maxImageBytes;
  let bytes: Uint8Array<ArrayBuffer>;
  if (source.kind === 'url') {
    const { allowPrivateImageUrls: allowPrivate, imageUserAgent: userAgent } = config;
    bytes = await fetchImage(source.url, { fetch, maxBytes, allowPrivate, userAgent, signal });
  } else {
    bytes = source.bytes;
    checkImage(bytes, { maxBytes, field: 'image' });
  }
  return { id: await imageIdOf(bytes), bytes };
}
