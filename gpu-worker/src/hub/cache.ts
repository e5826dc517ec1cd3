/**
 * The cache of pulled checkpoints, in the layout of huggingface_hub, so that either finds what the other has brought:
 *
 *     <cache>/models--<owner>--<name>/blobs/<digest>                 each file once
 *                                     snapshots/<commit>/<path>      links into blobs/: the folder of a checkpoint
 *                                     refs/<revision>                the commit that a branch or tag was last
 *                                     .no_exist/<commit>/<path>      files that the commit is known not to have
 */
import { copyFile, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { makeFolder } from '../make-folder.ts';
import { readText, replaceText } from '../regular-file.ts';
import type { HubFile } from './client.ts';
import type { Destination } from './destination.ts';
import { isInstructBlip, type Missing, missingIn } from './missing-files.ts';
import type { ModelId } from './model-id.ts';
import type { HubOptions } from './options.ts';
import { maybeAbsent, weightsIn } from './weight-names.ts';

/** Folder of all commits of a model. A model of another hub than the usual one has the hub's name before its own. */
export function modelFolder(model: ModelId, { endpoint, cache }: HubOptions): string {
  const isUsual = new URL(model.endpoint).origin === new URL(endpoint).origin;
  const hub = isUsual ? [] : [new URL(model.endpoint).host.replaceAll(':', '_')];
  return join(cache, ['models', ...hub, ...model.id.split('/')].join('--'));
}

/** What the cache has of a revision, as it was when it was last pulled, by whichever library. */
export type Cached = Missing & { folder: string };

/** @returns undefined when it knows no commit of the revision */
export async function lookUp(
  model: ModelId,
  options: HubOptions,
  isTokenizerNeeded = true,
): Promise<Cached | undefined> {
  const repository = modelFolder(model, options);
  const ref = isCommit(model.revision)
    ? model.revision
    : await readText(refPath(repository, model.revision)).catch(() => '');
  const commit = ref.trim();
  if (!isCommit(commit)) return undefined;
  const folder = snapshotFolder(repository, commit);
  const isAbsent = (path: string) => isFile(join(repository, '.no_exist', commit, path));
  return { folder, ...(await missingIn(folder, isAbsent, isTokenizerNeeded)) };
}

/**
 * Folder of the checkpoint that the revision was when it was last pulled.
 * @returns undefined when a file of it is not there, or may not be: then the hub is asked, if that is allowed
 */
export async function cachedCheckpoint(
  model: ModelId,
  options: HubOptions,
  isTokenizerNeeded = true,
): Promise<string | undefined> {
  const cached = await lookUp(model, options, isTokenizerNeeded);
  if (cached === undefined || cached.needed.length > 0) return undefined;
  return options.offline || cached.unknown.length === 0 ? cached.folder : undefined;
}

export const CACHE_ADVICE = 'HF_HUB_CACHE chooses another place.';

/** Where the files of a commit go: verified bytes into blobs/, and a link to them into the snapshot. */
export function cacheDestination(model: ModelId, commit: string, options: HubOptions): Destination {
  const repository = modelFolder(model, options);
  const folder = snapshotFolder(repository, commit);
  const blobOf = ({ digest }: HubFile) => join(repository, 'blobs', digest.hex);
  return {
    folder,
    lockPath: join(
      options.cache,
      '.locks',
      relative(options.cache, repository),
      `${commit}.pull.lock`,
    ),
    advice: CACHE_ADVICE,
    prepare: async () => {
      await makeFolder(join(repository, 'blobs'), CACHE_ADVICE);
      await makeFolder(folder, CACHE_ADVICE);
    },
    check: async () => {},
    targetOf: blobOf,
    // A blob is put in its place when it is whole and verified, by this library and by others.
    has: async (file) => (await sizeOf(blobOf(file))) === file.size || isIn(folder, file),
    publish: async (file) => {
      if (!(await isIn(folder, file))) await link(blobOf(file), join(folder, file.path));
    },
    finish: async (listed) => {
      const names = listed.map(({ path }) => path);
      for (const path of maybeAbsent(weightsIn(names), await isInstructBlip(folder))) {
        if (names.includes(path)) continue;
        await writeWhole(join(repository, '.no_exist', commit, path), '');
      }
      if (!isCommit(model.revision)) await writeWhole(refPath(repository, model.revision), commit);
    },
  };
}

async function isIn(folder: string, { path, size }: HubFile): Promise<boolean> {
  return (await sizeOf(join(folder, path))) === size;
}

function snapshotFolder(repository: string, commit: string): string {
  return join(repository, 'snapshots', commit);
}

function refPath(repository: string, revision: string): string {
  return join(repository, 'refs', ...revision.split('/'));
}

function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

async function link(blob: string, path: string): Promise<void> {
  await makeFolder(dirname(path), CACHE_ADVICE);
  await rm(path, { force: true });
  await symlink(relative(dirname(path), blob), path).catch(async (error: NodeJS.ErrnoException) => {
    // Another library was faster by a moment.
    if (error.code === 'EEXIST') return;
    // Windows lets only some users make links.
    if (error.code !== 'EPERM') throw error;
    await copyFile(blob, path);
  });
}

async function writeWhole(path: string, text: string): Promise<void> {
  await makeFolder(dirname(path));
  await replaceText(path, text);
}

async function isFile(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== undefined;
}

/** Bytes of a file, or of what a link points to. */
async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? found.size : undefined;
}
