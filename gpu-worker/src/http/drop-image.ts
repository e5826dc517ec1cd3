/** `DELETE /v1/images/{image id}?namespace=…`: drops what is cached of an image in a namespace. */
import { ApiError } from '@blip2/shared/errors';
import { IMAGE_ID } from '@blip2/shared/image-id';
import { CacheNamespace } from '@blip2/shared/wire';
import type { AppContext, Dependencies } from './dependencies.ts';
import { imageIn } from './handle-request.ts';

/** The engine drops it before its next action: whatever comes after the reply finds nothing. */
export function dropImage(c: AppContext, { engine }: Pick<Dependencies, 'engine'>): Response {
  const id = c.req.param('id') ?? '';
  const namespace = c.req.query('namespace');
  if (!IMAGE_ID.test(id)) throw invalid('id', 'must be a SHA-256');
  if (namespace !== undefined && !CacheNamespace.safeParse(namespace).success) {
    throw invalid('namespace', 'must be 32 lower-case hexadecimal digits');
  }
  engine.dropImage(imageIn(namespace, id));
  return c.body(null, 204);
}

function invalid(field: string, what: string): ApiError {
  return new ApiError('invalid-request', `${field}: ${what}.`, { field });
}
