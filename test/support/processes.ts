/** For tests of what commands leave behind: the processes that a process has started, and which of them still run. */
import { readFile } from 'node:fs/promises';

/** Everything that a process has started, and what that has started. */
export async function descendantsOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const pids = children.split(' ').filter(Boolean).map(Number);
  return [...pids, ...(await Promise.all(pids.map(descendantsOf))).flat()];
}

/** Command lines of those that still run; one that only waits for its parent to read its exit code does not. */
export async function running(pids: readonly number[]): Promise<string[]> {
  const commands = pids.map(async (pid) => {
    const [status, command] = await Promise.all(
      ['status', 'cmdline'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    return /^State:\s[^ZX]/m.test(status ?? '') ? [command?.replaceAll('\0', ' ') ?? ''] : [];
  });
  return (await Promise.all(commands)).flat();
}

/** Ends at the end of a test those that still run, which they should not. */
export function endingWithTest(pids: readonly number[]): Disposable {
  const end = () => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
  };
  return { [Symbol.dispose]: end };
}
