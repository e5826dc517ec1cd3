/** For tests of what commands leave behind: the processes that a process has started, which of them still run, and where they listen. */
import { readdir, readFile, readlink } from 'node:fs/promises';

/**
 * Everything that a process has started, and what that has started. By everybody's parents: the kernel's list of a process's
 * children leaves some out while another of them ends.
 */
export async function descendantsOf(pid: number): Promise<number[]> {
  const all = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const parents = await Promise.all(
    all.map(async (child) => {
      const status = await readFile(`/proc/${child}/status`, 'utf8').catch(() => '');
      return [child, Number(/^PPid:\s(\d+)$/m.exec(status)?.[1])] as const;
    }),
  );
  const below = (parent: number): number[] =>
    parents.flatMap(([child, of]) => (of === parent ? [child, ...below(child)] : []));
  return below(pid);
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

/** Ports on which the processes that this one has started listen. */
export async function portsOfChildren(): Promise<number[]> {
  const listening = new Map<string, number>();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (await readFile(file, 'utf8')).split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      if (state === '0A') listening.set(inode, Number.parseInt(local.split(':')[1] ?? '', 16));
    }
  }
  const ports = new Set<number>();
  const children = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8');
  for (const pid of children.trim().split(' ')) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      const port = listening.get(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? '');
      if (port !== undefined) ports.add(port);
    }
  }
  return [...ports];
}
