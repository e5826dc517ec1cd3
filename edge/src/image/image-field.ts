/** Names the member of a request that an image came from, where that is not one of our own requests. */
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';

/** The same error about another member. */
export function aboutField(error: ApiError, field: string): ApiError {
  const { slug, message, extras, headers, cause } = error;
  return new ApiError(slug, message, { ...extras, field, headers, cause });
}

/** Problems that the image of a request has, or the way that it is named. */
const OF_IMAGES: ReadonlySet<ProblemSlug> = new Set([
  'no-image',
  'several-images',
  'invalid-base64',
  'invalid-image',
  'image-too-large',
  'image-url-refused',
  'image-url-failed',
  'unknown-image',
  'body-too-large',
  'unsupported-media-type',
]);

/**
 * What was thrown while an image was worked on: where the image is to blame, it names the member. A limit that is used
 * up meanwhile is about the caller, and names none.
 * @example
 * const error = new ApiError('image-url-refused', 'The host is private.', { field: 'image.url' });
 * aboutImage(error, 'messages.0.content.1.image_url.url'); // the same with that field
 */
export function aboutImage(thrown: unknown, field: string): unknown {
  if (!(thrown instanceof ApiError) || thrown.status >= 500) return thrown;
  const { field: named } = thrown.extras;
  const isOfImage = named === undefined ? OF_IMAGES.has(thrown.slug) : /^image\b/.test(named);
  return isOfImage ? aboutField(thrown, field) : thrown;
}
