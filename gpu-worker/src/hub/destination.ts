/** Where the files of a commit are put: into the hub's cache, or into a folder of the caller's. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../make-folder.ts';
import type { HubFile } from './client.ts';
import { digestOf } from './digest.ts';
import { HubError } from './errors.ts';
import { standsInTheWay } from './weight-names.ts';

export type Destination = {
  /** Folder of the checkpoint. */
  folder: string;
  /** Held while files are put there. */
  lockPath: string;
  /** What to do where nothing can be put there, as another sentence. */
  advice: string;
  /** Makes the folders. */
  prepare: () => Promise<void>;
  /** @throws HubError when the folder holds what these files must not stand beside */
  check: (files: readonly HubFile[]) => Promise<void>;
  /** Whether all bytes of the file are there. */
  has: (file: HubFile) => Promise<boolean>;
  /** Where the bytes of a file are collected; files of the same content may share one. */
  targetOf: (file: HubFile) => string;
  /** Makes a file whose bytes are there appear in the folder. */
  publish: (file: HubFile) => Promise<void>;
  /** All is there. @param listed every file of the commit */
  finish: (listed: readonly HubFile[]) => Promise<void>;
};

/** A plain folder, in which a file of the right name may be anything: it is believed when its digest is right. */
export function folderDestination(folder: string): Destination {
  const targetOf = ({ path }: HubFile) => join(folder, path);
  return {
    folder,
    lockPath: join(folder, '.pull.lock'),
    advice: '',
    prepare: () => makeFolder(folder),
    check: (files) => refuseOtherWeights(folder, files),
    targetOf,
    has: async (file) => {
      const found = await stat(targetOf(file)).catch(() => null);
      if (found?.size !== file.size) return false;
      // A link to a file elsewhere gives way to the file itself: whoever reads the folder follows none.
      return (await digestOf(targetOf(file), file).catch(() => '')) === file.digest.hex;
    },
    publish: async () => {},
    finish: async () => {},
  };
}

/** Weights of another model beside these would be mistaken for theirs. */
async function refuseOtherWeights(folder: string, files: readonly HubFile[]): Promise<void> {
  const ours = files.map(({ path }) => path);
  const other = (await readdir(folder)).find(
    (name) => !ours.includes(name) && standsInTheWay(name, ours),
  );
  if (other === undefined) return;
  throw new HubError(`${folder} holds ${other}, which is of another model. Give an empty folder.`);
}
