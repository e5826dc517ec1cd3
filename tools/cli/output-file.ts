/** Files that commands write: whether they can be is known before anything is sent, and a disk that is full is a sentence. */
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CliError } from './failure.ts';

export type OutputFile = AsyncDisposable & {
  /** Resolves when all bytes are written. @throws CliError where they cannot be */
  write: (bytes: Uint8Array | string) => Promise<void>;
};

/**
 * @param output the file that is there in the end
 * @param meanwhile files beside it that are written before: each is tried, and stays as it is
 * @throws CliError where one of them cannot be written
 */
export async function expectWritable(output: string, meanwhile: readonly string[]): Promise<void> {
  if (output === '') throw new CliError('The name of the output is empty.');
  const found = await stat(output).catch(() => null);
  if (found?.isDirectory()) throw new CliError(`${output} is a folder: name a file in it.`);
  // Another file takes its place in the end, which a device would not outlast.
  if (found !== null && !found.isFile()) throw new CliError(`${output} is no ordinary file.`);
  for (const path of meanwhile) {
    const isNew = await stat(path).then(
      () => false,
      () => true,
    );
    await (await opened(path, 'a')).close();
    if (isNew) await rm(path);
  }
}

/** @param flags `a` goes on behind what is there, `w` begins anew. @throws CliError */
export async function openOutput(path: string, flags: 'a' | 'w'): Promise<OutputFile> {
  const file = await opened(path, flags);
  return {
    write: async (bytes) => {
      await file.writeFile(bytes).catch((error: NodeJS.ErrnoException) => {
        throw new CliError(`${path} cannot be written any further: ${error.message}.`);
      });
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}

async function opened(path: string, flags: 'a' | 'w'): Promise<FileHandle> {
  return await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(whyNot(path, error));
  });
}

function whyNot(path: string, { code, message }: NodeJS.ErrnoException): string {
  const folder = dirname(path);
  if (code === 'ENOENT') return `There is no folder ${folder}: make it first.`;
  if (code === 'ENOTDIR') return `${folder} is no folder.`;
  return `${path} cannot be written: ${message}.`;
}
