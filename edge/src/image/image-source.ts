/** From the source that a request names to an image: its id and, unless only that was sent, its bytes. */
import { imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { checkImage } from '@blip2/shared/image-format';
import { type ImageId, imageIdOf } from '@blip2/shared/image-id';
import type { ImageReference } from '@blip2/shared/schemas/image';
import { KNOWN_LATE_MS } from '../deletion/deletions.ts';
import type { Dependencies } from '../dependencies.ts';
import type { RequestContext } from '../request-context.ts';
import { waitOutside } from '../work-in-hand.ts';
import { fetchImage } from './fetch-image.ts';
import { fetchTurns } from './fetch-turns.ts';
import { decodeImageData, isDataUrl } from './image-data.ts';
import type { ImageInput, ImageSource, StoredImage } from './image-input.ts';

export type { ImageInput, ImageSource, StoredImage } from './image-input.ts';

/**
 * @example sourceFromReference({ url: 'https://example.com/a.png' }) // { kind: 'url', url: 'https://…' }
 * @throws ApiError `no-image`, `several-images` or `invalid-base64`
 */
export function sourceFromReference(image: ImageReference | undefined): ImageSource {
  const { data, url, sha256 } = image ?? {};
  const given = [data, url, sha256].filter((value) => value !== undefined).length;
  if (given === 0) {
    const detail =
      'Send the image: as the body, as a file with the name image, or in JSON as image.data, image.url or image.sha256.';
    throw new ApiError('no-image', detail, { field: 'image' });
  }
  if (given > 1) {
    throw new ApiError('several-images', 'Send one of image.data, image.url and image.sha256.', {
      field: 'image',
    });
  }
  if (data !== undefined) return { kind: 'bytes', bytes: decodeImageData(data, 'image.data') };
  if (url !== undefined) return sourceFromUrl(url, 'image.url');
  // Some tools write hashes in capitals.
  return { kind: 'sha256', sha256: (sha256 ?? '').toLowerCase() };
}

/**
 * What a text names: a URL, a SHA-256, or base64.
 * @param field of the request that the text is
 * @throws ApiError `invalid-base64`
 * @example sourceFromText('https://example.com/a.png', 'image') // { kind: 'url', url: 'https://…' }
 */
export function sourceFromText(text: string, field: string): ImageSource {
  const trimmed = text.trim();
  if (/^[0-9a-f]{64}$/i.test(trimmed)) return { kind: 'sha256', sha256: trimmed.toLowerCase() };
  return /^[a-z][a-z0-9+.-]{0,30}:/i.test(trimmed)
    ? sourceFromUrl(trimmed, field)
    : { kind: 'bytes', bytes: decodeImageData(trimmed, field) };
}

/** Whether a text is the address of an image and nothing else: an http(s) or `data:` URL. */
export function isImageAddress(text: string): boolean {
  return /^\s*(data:|https?:\/\/)\S+\s*$/i.test(text);
}

/** @throws ApiError `invalid-base64` for a `data:` URL that cannot be read */
function sourceFromUrl(url: string, field: string): ImageSource {
  return isDataUrl(url.trim())
    ? { kind: 'bytes', bytes: decodeImageData(url, field) }
    : { kind: 'url', url: url.trim() };
}

/** Fetches a URL, refuses bytes that are no image, and computes the image id. @throws ApiError */
export async function resolveImage(
  { config, fetch, images, now }: Pick<Dependencies, 'config' | 'fetch' | 'images' | 'now'>,
  source: ImageSource | StoredImage,
  context: RequestContext,
): Promise<ImageInput> {
  const { client = '', signal } = context;
  if (source.kind === 'stored') {
    const turn = fetchTurns(client, context, now);
    note(context, source.sha256, context.startedAt);
    return {
      id: source.sha256,
      read: async () => await waitOutside(context.work, source.read(turn)),
    };
  }
  if (images !== undefined) return await images(source, context);
  if (source.kind === 'sha256') {
    note(context, source.sha256, context.startedAt - KNOWN_LATE_MS);
    return { id: source.sha256 };
  }
  const maxBytes = config.maxImageBytes;
  let bytes: Uint8Array<ArrayBuffer>;
  if (source.kind === 'url') {
    const { allowPrivateImageUrls: allowPrivate, imageUserAgent: userAgent } = config;
    const { maxHeldBytes } = config;
    const limits = { maxBytes, maxHeldBytes, client, allowPrivate };
    const turn = fetchTurns(client, context, now);
    const fetching = fetchImage(source.url, { fetch, ...limits, userAgent, signal, turn });
    bytes = await waitOutside(context.work, fetching);
  } else {
    bytes = source.bytes;
    checkImage(bytes, { maxBytes, field: 'image' });
  }
  const id = await imageIdOf(bytes);
  note(context, id, context.startedAt);
  return { id, bytes };
}

function note({ namespace, onImage }: RequestContext, id: ImageId, sentAt: number): void {
  onImage?.(imagePathOf(namespace, id), sentAt);
}
