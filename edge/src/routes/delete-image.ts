/** `DELETE /v1/images/{sha256}`: deletes what is remembered of an image in the caller's namespace. */
import { type ImagePath, imagePathOf, partsOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { deleteImage, notDeleted } from '../deletion/delete-image.ts';
import { inDeletionTurn } from '../deletion/deletion-turns.ts';
import type { Dependencies } from '../dependencies.ts';
import { ownObject } from '../dialects/replicate/objects.ts';
import { type AppContext, type Handler, requestContextOf } from './app-context.ts';
import { ownerOf } from './jobs/owner.ts';
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
  const path = imagePathOf(context.namespace, id);
  const remove = async () => {
    await deleteImage(deps, path, context);
    await deleteOwn(c, deps, path);
  };
  await inDeletionTurn(remove, deps, context);
  return c.body(null, 204, { 'cache-control': 'no-store' });
};

/** What the caller's own objects store: those of others in the namespace find out by the tombstone. */
async function deleteOwn(c: AppContext, deps: Dependencies, path: ImagePath): Promise<void> {
  const { predictions, jobIndex, jobFiles } = deps;
  try {
    await Promise.all([
      predictions && ownObject(c, deps).deleteImage(path),
      jobIndex && jobFiles && ownerOf(c, deps).index.deleteImage(partsOf(path).imageId),
    ]);
  } catch (cause) {
    throw notDeleted(cause);
  }
}
