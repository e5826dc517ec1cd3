/** How many files a process may have open, connections included: workerd ends where it can accept no more. */
import { readFile } from 'node:fs/promises';

/** What a small service needs on a bad day. */
const ENOUGH = 10_000;

/**
 * @param limits what Linux says of a process in `/proc/PID/limits`
 * @returns null where it says nothing of files
 */
export function openFilesIn(limits: string): number | null {
  const [, most] = /^Max open files\s+\S+\s+(\S+)/m.exec(limits) ?? [];
  if (most === undefined) return null;
  return most === 'unlimited' ? Number.POSITIVE_INFINITY : Number(most);
}

/** The limit of this process and its children, where it is low; Node raises the soft one to the hard one as it starts. */
export async function lowFileLimit(): Promise<number | null> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const most = openFilesIn(limits);
  return most !== null && most < ENOUGH ? most : null;
}
