/** Where the base of an adapter, or the frozen parts of a checkpoint of LAVIS, are: a folder, or what the caller finds. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CheckpointError } from '../errors.ts';

export type BaseOptions = {
  /**
   * Folder of a checkpoint that another one names: where hub ids are pulled to.
   * @param isTokenizerNeeded whether it must have a tokenizer
   * @example (id, isTokenizerNeeded) => resolveCheckpoint(id, settings, { isTokenizerNeeded })
   */
  resolveBase?: (id: string, isTokenizerNeeded: boolean) => Promise<string>;
};

/**
 * @param base `id`: a path, absolute or from `folder` or the working folder, or a hub id; `revision`: of the latter;
 * `hasTokenizer`: whether `folder` has one
 * @param remedy what to do where it is nowhere
 */
export async function resolveBaseFolder(
  {
    id,
    revision,
    hasTokenizer,
  }: { id: string; revision?: string | null | undefined; hasTokenizer: boolean },
  folder: string,
  { resolveBase }: BaseOptions,
  remedy: string,
): Promise<string> {
  for (const path of [resolve(folder, id), resolve(id)]) {
    if ((await stat(path).catch(() => null)) !== null) return path;
  }
  if (resolveBase !== undefined) {
    const name =
      revision == null || revision === '' ? (cachedModel(id) ?? id) : `${id}@${revision}`;
    return await resolveBase(name, !hasTokenizer).catch((cause: Error) => {
      throw new CheckpointError(`${folder} needs its base "${id}": ${cause.message} ${remedy}`, {
        cause,
      });
    });
  }
  throw new CheckpointError(`${folder} needs its base "${id}", which is not here. ${remedy}`);
}

/** The model of a hub whose folder in another machine's cache this path was. */
function cachedModel(path: string): string | null {
  const [, folder = '', commit] =
    /(?<![^/\\])models--([^/\\]+)[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]?$/.exec(path) ?? [];
  const [, owner, name] = /^(.+?)--(.+)/.exec(folder) ?? [];
  return owner === undefined ? null : `${owner}/${name}@${commit}`;
}
