/** Refuses what would change a reply and is not done here: dialects have more options than these models. */
import { ApiError } from '@blip2/shared/errors';

/**
 * @throws ApiError `unsupported-parameter` naming the field
 * @example refuse('normalize', !normalize, 'the embeddings have the length 1: leave it out')
 */
export function refuse(field: string, isAsked: boolean, instead: string): void {
  if (!isAsked) return;
  throw new ApiError('unsupported-parameter', `${field}: ${instead}.`, { field });
}
