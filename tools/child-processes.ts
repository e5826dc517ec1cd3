/** Processes as the kernel shows them: those that a process has started, and which still run. Linux only. */
import { readFile } from 'node:fs/promises';

const read = (path: string) => readFile(path, 'utf8').catch(() => '');

/** @param part of the command line @returns 0 where there is none */
export async function childOf(pid: number, part: string): Promise<number> {
  const children = (await read(`/proc/${pid}/task/${pid}/children`)).split(' ').filter(Boolean);
  for (const child of children.map(Number)) {
    if ((await runs(child)) && (await read(`/proc/${child}/cmdline`)).includes(part)) return child;
  }
  return 0;
}

/** Everything that a process has started, and what that has started. */
export async function descendantsOf(pid: number): Promise<number[]> {
  const children = (await read(`/proc/${pid}/task/${pid}/children`)).split(' ').filter(Boolean);
  const pids = children.map(Number);
  return [...pids, ...(await Promise.all(pids.map(descendantsOf))).flat()];
}

/** One that only waits for its parent to read its exit code does not run. */
export async function runs(pid: number): Promise<boolean> {
  return /^State:\s[^ZX]/m.test(await read(`/proc/${pid}/status`));
}
