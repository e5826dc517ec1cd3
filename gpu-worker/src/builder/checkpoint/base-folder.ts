/** Where the base of an adapter, or the frozen parts of a checkpoint of LAVIS, are: a folder, or what the caller finds. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CheckpointError } from '../errors.ts';

export type BaseOptions = {
  /**
   * Folder of a checkpoint that another one names: where hub ids are pulled to.
   * @example (id) => resolveCheckpoint(id, settings)
   */
  resolveBase?: (id: string) => Promise<string>;
};

/**
 * @param base `id`: a path, absolute or from `folder` or the working folder, or a hub id; `revision`: of the latter
 * @param remedy what to do where it is nowhere
 */
export async function resolveBaseFolder(
  { id, revision }: { id: string; revision?: string | null | undefined },
  folder: string,
  { resolveBase }: BaseOptions,
  remedy: string,
): Promise<string> {
  for (const path of [resolve(folder, id), resolve(id)]) {
    if ((await stat(path).catch(() => null)) !== null) return path;
  }
  if (resolveBase !== undefined) {
    const name = revision == null || revision === '' ? id : `${id}@${revision}`;
    return await resolveBase(name).catch((cause: Error) => {
      throw new CheckpointError(`${folder} needs its base "${id}": ${cause.message} ${remedy}`, {
        cause,
      });
    });
  }
  throw new CheckpointError(`${folder} needs its base "${id}", which is not here. ${remedy}`);
}
