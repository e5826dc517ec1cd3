/** The query string of a request, by the schema that checks it. */

import { validate } from '@blip2/shared/validate';
import type * as z from 'zod/mini';
import { fieldsFromForm } from './form-fields.ts';
import { parseUrlEncoded } from './url-encoded.ts';

/**
 * @throws ApiError `invalid-request`
 * @example readQuery('http://a/?limit=5', z.strictObject({ limit: z.int() })) // { limit: 5 }
 */
export function readQuery<Schema extends z.ZodMiniType>(
  url: string,
  schema: Schema,
): z.output<Schema> {
  return validate(schema, fieldsFromForm(parseUrlEncoded(new URL(url).search.slice(1)), schema));
}
