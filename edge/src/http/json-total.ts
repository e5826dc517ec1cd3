/** What the JSON texts of one form have together: each has the limits of a body, and a form may have a thousand of them. */
import { ApiError } from '@blip2/shared/errors';

/** Counts those that turned out to be no JSON, too. */
export class JsonTotal {
  /** Values, or names where they are more. */
  values = 0;
  /** Besides images. */
  bytes = 0;
  /** Bytes in another encoding than UTF-8, which were converted. */
  converted = 0;

  /** @param own of the text that is read now @throws ApiError `invalid-request` */
  expectFew(what: 'values' | 'bytes', own: number, limit: number): void {
    const actual = this[what] + own;
    if (actual <= limit) return;
    const detail = `The fields that are JSON have more than ${limit} ${what} together.`;
    throw new ApiError('invalid-request', detail, { limit, actual });
  }
}
