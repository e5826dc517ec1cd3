/** Whether a raw body is an image, whatever it is called; the error for what is none names what would be read. */
import { ApiError } from '@blip2/shared/errors';
import { refusalOf, sniff } from '@blip2/shared/image-format';

/** Media types under which only an image is sent here: one that cannot be read is refused as an image. */
const OF_IMAGES = /^$|^image\/|^(application|binary)\/(octet-stream|force-download)$/;

/** What our own routes read beside an image. */
const FORMS = 'multipart/form-data, application/x-www-form-urlencoded and application/json';

/**
 * @param type media type of the body; '' where there is none
 * @param accepted what the route reads beside an image
 * @throws ApiError `unsupported-media-type` for a body that is neither called an image nor one
 */
export function checkRawBody(type: string, bytes: Uint8Array, accepted = FORMS): void {
  if (OF_IMAGES.test(type)) return;
  const sniffed = sniff(bytes);
  if (sniffed.kind === 'image') return;
  const found = sniffed.kind === 'unknown' ? 'Its bytes are no image.' : refusalOf(sniffed);
  throw new ApiError(
    'unsupported-media-type',
    `The body is called ${type.slice(0, 100)}. ${found} Accepted are an image under any Content-Type, ${accepted}.`,
  );
}
