/** Names the member of a request that an image came from, where that is not one of our own requests. */
import { ApiError } from '@blip2/shared/errors';

/** The same error about another member. */
export function aboutField(error: ApiError, field: string): ApiError {
  const { slug, message, extras, headers, cause } = error;
  return new ApiError(slug, message, { ...extras, field, headers, cause });
}

/**
 * What was thrown over an image: where the request is to blame, it names the member.
 * @example
 * const error = new ApiError('image-url-refused', 'The host is private.', { field: 'image.url' });
 * aboutImage(error, 'messages.0.content.1.image_url.url'); // the same with that field
 */
export function aboutImage(thrown: unknown, field: string): unknown {
  if (!(thrown instanceof ApiError) || thrown.status >= 500) return thrown;
  const named = thrown.extras.field;
  return named === undefined || /^image\b/.test(named) ? aboutField(thrown, field) : thrown;
}
