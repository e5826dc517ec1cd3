/** Makes folders, and says which one cannot be made. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { FileError, reasonOf } from './file-errors.ts';

/**
 * A folder and those around it, where they are missing. Node's own `recursive` never ends below `/proc`, where there is
 * a parent and yet nothing can be made in it.
 * @param advice what to do where it cannot be made, as another sentence
 * @throws FileError naming the folder, and what stands in the way
 */
export async function makeFolder(path: string, advice = ''): Promise<void> {
  const fail = (at: string, why: string, cause?: unknown) =>
    new FileError(
      `The folder ${at} cannot be made: ${why}.${advice === '' ? '' : ` ${advice}`}`,
      cause,
    );
  const missing: string[] = [];
  let at = resolve(path);
  for (let found = await look(at); !found?.isDirectory(); found = await look(at)) {
    if (found !== null) throw fail(resolve(path), `${at} is a file`);
    missing.unshift(at);
    if (dirname(at) === at) break;
    at = dirname(at);
  }
  for (const folder of missing) {
    await mkdir(folder).catch(async (cause: NodeJS.ErrnoException) => {
      // Somebody else was faster by a moment.
      if (cause.code === 'EEXIST' && (await look(folder))?.isDirectory()) return;
      throw fail(folder, reasonOf(cause), cause);
    });
  }
}

async function look(path: string) {
  return await stat(path).catch(() => null);
}
