/** What another process uses of the machine, as Linux tells it. */
import { readFileSync } from 'node:fs';

/** Linux counts processor time for programs in hundredths of a second, whatever its own clock is. */
const MS_PER_TICK = 10;

/** Resident memory, bytes; null where the system does not tell, or the process has ended. */
export function memoryOf(pid: number): number | null {
  const [, kilobytes] = /^VmRSS:\s*(\d+)/m.exec(read(pid, 'status')) ?? [];
  return kilobytes === undefined ? null : 1024 * Number(kilobytes);
}

/** Processor time of all its threads since its start, milliseconds; null where the system does not tell. */
export function processorMsOf(pid: number): number | null {
  // The name of the program, in parentheses, may contain anything; the state follows it.
  const [, ...fields] = /.*\) (.*)/s.exec(read(pid, 'stat'))?.[1]?.split(' ') ?? [];
  const [user, system] = [fields[10], fields[11]];
  if (user === undefined || system === undefined) return null;
  return MS_PER_TICK * (Number(user) + Number(system));
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
