/** Processes as the kernel shows them: those that a process has started, and which still run. Linux only. */
import { readdir, readFile } from 'node:fs/promises';

const read = (path: string) => readFile(path, 'utf8').catch(() => '');

/** What it has started, through any of its threads. */
export async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = threads.map((thread) => read(`/proc/${pid}/task/${thread}/children`));
  return (await Promise.all(lists)).flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

/** @param part of the command line @returns 0 where there is none */
export async function childOf(pid: number, part: string): Promise<number> {
  for (const child of await childrenOf(pid)) {
    if ((await runs(child)) && (await read(`/proc/${child}/cmdline`)).includes(part)) return child;
  }
  return 0;
}

/** Everything that a process has started, and what that has started. */
export async function descendantsOf(pid: number): Promise<number[]> {
  const pids = await childrenOf(pid);
  return [...pids, ...(await Promise.all(pids.map(descendantsOf))).flat()];
}

/** One that only waits for its parent to read its exit code does not run. */
export async function runs(pid: number): Promise<boolean> {
  return /^State:\s[^ZX]/m.test(await read(`/proc/${pid}/status`));
}
