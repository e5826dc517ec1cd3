/** The image of a prediction that is a stored file: its hash says which it is, and its bytes are read once somebody has to encode it. */
import { imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { checkImage } from '@blip2/shared/image-format';
import type { ImageResolver } from '../image/image-input.ts';
import type { StoredFile } from './contract.ts';

/** @param signal aborted when nobody needs it any more @returns null where there is no such file any more */
export type ReadFile = (id: string, signal: AbortSignal) => Promise<Uint8Array<ArrayBuffer> | null>;

/** @param field the member of the request that names it */
export function fileImage(
  { id, sha256 }: Pick<StoredFile, 'id' | 'sha256'>,
  readFile: ReadFile,
  { maxBytes, field }: { maxBytes: number; field: string },
): ImageResolver {
  let bytes: Uint8Array<ArrayBuffer> | null = null;
  const read = async (signal: AbortSignal) => {
    // Once, however often the GPU workers have no place for it.
    bytes ??= await readFile(id, signal);
    if (bytes === null) throw noFile(field);
    checkImage(bytes, { maxBytes, field: 'image' });
    return bytes;
  };
  return async (_source, { namespace, onImage, startedAt, signal }) => {
    onImage?.(imagePathOf(namespace, sha256), startedAt);
    return { id: sha256, read: async () => await read(signal) };
  };
}

/** The problem of a request that names a file which is not there for its caller. */
export function noFile(field: string): ApiError {
  const detail = `${field}: there is no such file any more, or its key is another: upload it again.`;
  return new ApiError('image-url-failed', detail, { field });
}
