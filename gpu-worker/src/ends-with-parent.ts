/** Programs that the kernel ends with this process: one that is stopped cannot end by itself, and sees nothing of our end. */
import { spawnSync } from 'node:child_process';

const PREFIX = ['setpriv', '--pdeathsig', 'KILL'] as const;

let isThere: boolean | undefined;

/**
 * A command that does the same as the one that is given, and where util-linux has `setpriv` is killed with this process. It keeps its process
 * id and what it inherits. To be started by the main thread, as the kernel looks at the end of the thread.
 * @example endsWithParent(process.execPath, ['x.js']) // ['setpriv', ['--pdeathsig', 'KILL', '/usr/bin/node', 'x.js']]
 */
export function endsWithParent(
  program: string,
  args: readonly string[],
): [program: string, args: string[]] {
  isThere ??= process.platform === 'linux' && works();
  if (!isThere) return [program, [...args]];
  const [setpriv, ...options] = PREFIX;
  return [setpriv, [...options, program, ...args]];
}

/** BusyBox has one that does not know of it. */
function works(): boolean {
  const [setpriv, ...options] = PREFIX;
  return spawnSync(setpriv, [...options, 'true'], { stdio: 'ignore' }).status === 0;
}
