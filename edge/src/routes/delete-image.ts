/** `DELETE /v1/images/{sha256}`: deletes what is remembered of an image in the caller's namespace. */
import { imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { deleteImage } from '../deletion/delete-image.ts';
import { type Handler, requestContextOf } from './app-context.ts';
import { imageIdInPath } from './read-embeddings.ts';

export const deleteImageRoute: Handler = async (c, deps) => {
  const id = imageIdInPath(c);
  if (!c.get('caller') && !deps.config.allowAnonymousDelete) {
    throw new ApiError(
      'deletion-refused',
      'What is remembered here is shared by all callers without a key: only somebody with a key may delete it, or everybody where the operator sets ALLOW_ANONYMOUS_DELETE=true.',
    );
  }
  const context = requestContextOf(c, deps);
  await deleteImage(deps, imagePathOf(context.namespace, id), context);
  return c.body(null, 204, { 'cache-control': 'no-store' });
};
