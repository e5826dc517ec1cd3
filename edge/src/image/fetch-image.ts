/** Fetches an image from a public URL: each redirect is checked, size and time are limited. */
import { ApiError } from '@blip2/shared/errors';
import { mediaType } from '../http/media-type.ts';
import { readLimited } from '../http/read-limited.ts';
import type { Platform } from '../platform.ts';
import { checkImageUrl } from './public-url.ts';
import { isSupportedImageType } from './sniff-format.ts';

const MAX_REDIRECTS = 3;
const TIMEOUT_MS = 5000;

export type FetchImageOptions = Pick<Platform, 'fetch'> & {
  maxBytes: number;
  /** Whether images may be fetched from private addresses, too. */
  allowPrivate: boolean;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
};

/**
 * @param address http(s) URL
 * @throws ApiError `image-url-refused`, `image-url-failed` or `body-too-large`; the signal's reason when it is aborted
 */
export async function fetchImage(
  address: string,
  { fetch, maxBytes, allowPrivate, signal }: FetchImageOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  let url = checkImageUrl(address, { allowPrivate });
  try {
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const response = await fetch(url, {
        redirect: 'manual',
        signal: limit,
        headers: { accept: 'image/avif,image/webp,image/png,image/jpeg,image/gif' },
      });
      const location = response.headers.get('location');
      if (response.status >= 300 && response.status < 400 && location !== null) {
        await response.body?.cancel();
        url = checkImageUrl(location, { allowPrivate, base: url });
        continue;
      }
      if (!response.ok) {
        await response.body?.cancel();
        throw failed(`The host of the image URL replied with status ${response.status}.`);
      }
      const type = mediaType(response.headers.get('content-type'));
      if (!isSupportedImageType(type)) {
        await response.body?.cancel();
        const received = type || 'a reply without a content-type';
        throw failed(`The image URL leads to ${received}, not to a supported image.`);
      }
      return await readLimited(response, maxBytes);
    }
  } catch (thrown) {
    if (thrown instanceof ApiError) throw thrown;
    // The client went away: the host of the URL is not to blame.
    if (signal.aborted) throw thrown;
    const detail = limit.aborted
      ? `The image was not received from its URL within ${TIMEOUT_MS} ms.`
      : 'The host of the image URL could not be reached.';
    throw failed(detail, thrown);
  }
  throw failed(`The image URL redirects more than ${MAX_REDIRECTS} times.`);
}

function failed(detail: string, cause?: unknown): ApiError {
  return new ApiError('image-url-failed', detail, { field: 'image.url', cause });
}
