/** A folder that goes when it is disposed, or with the process: Ctrl-C leaves nothing behind. */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function temporaryFolder(): Promise<Disposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'blip2-'));
  const remove = () => rmSync(path, { recursive: true, force: true });
  process.on('exit', remove);
  return {
    path,
    [Symbol.dispose]: () => {
      process.off('exit', remove);
      remove();
    },
  };
}
