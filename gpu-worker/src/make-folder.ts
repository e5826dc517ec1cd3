/** Makes folders, and says which one cannot be made. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * A folder and those around it, where they are missing. Node's own `recursive` never ends below `/proc`, where there is
 * a parent and yet nothing can be made in it.
 * @param advice what to do where it cannot be made, as another sentence
 * @throws Error naming the folder, and what stands in the way
 */
export async function makeFolder(path: string, advice = ''): Promise<void> {
  const fail = (at: string, why: string, cause?: unknown) =>
    new Error(`The folder ${at} cannot be made: ${why}.${advice === '' ? '' : ` ${advice}`}`, {
      cause,
    });
  const missing: string[] = [];
  let at = resolve(path);
  for (let found = await look(at); !found?.isDirectory(); found = await look(at)) {
    if (found !== null) throw fail(resolve(path), `${at} is a file`);
    missing.unshift(at);
    if (dirname(at) === at) break;
    at = dirname(at);
  }
  for (const folder of missing) {
    await mkdir(folder).catch((cause: NodeJS.ErrnoException) => {
      // Somebody else was faster by a moment.
      if (cause.code !== 'EEXIST')
        throw fail(folder, cause.message.replace(/, mkdir .*/, ''), cause);
    });
  }
}

async function look(path: string) {
  return await stat(path).catch(() => null);
}
