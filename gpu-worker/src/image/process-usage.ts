/** What another process uses of the machine, and whether it does anything, as Linux tells it. */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts processor time for programs in hundredths of a second, whatever its own clock is. */
const MS_PER_TICK = 10;

/** Resident memory, bytes; null where the system does not tell, or the process has ended. */
export function memoryOf(pid: number): number | null {
  const [, kilobytes] = /^VmRSS:\s*(\d+)/m.exec(read(`${pid}/status`)) ?? [];
  return kilobytes === undefined ? null : 1024 * Number(kilobytes);
}

/** Processor time of all its threads since its start, milliseconds; null where the system does not tell. */
export function processorMsOf(pid: number): number | null {
  const { 11: user, 12: system } = statOf(`${pid}`);
  if (user === undefined || system === undefined) return null;
  return MS_PER_TICK * (Number(user) + Number(system));
}

/** Whether somebody has stopped it, as SIGSTOP does. */
export function isStopped(pid: number): boolean {
  return statOf(`${pid}`)[0] === 'T';
}

/**
 * What a process has done between two looks. `computed`: it has used processor time; `starved`: it has got none, and waits for its turn or for
 * a disk, as everything does on a machine with too much to do; `nothing`: it has been stopped, or waits for something else.
 */
export type Activity = 'computed' | 'starved' | 'nothing';

/** Looks at a process again and again. */
export class ActivityMeter {
  #pid: number | undefined;
  #processorMs = 0;

  /** What it has done since the call before; null where the system does not tell. At the first call for a process: `computed`. */
  read(pid: number): Activity | null {
    const processorMs = processorMsOf(pid);
    if (processorMs === null) return null;
    const hasComputed = pid !== this.#pid || processorMs > this.#processorMs;
    this.#pid = pid;
    this.#processorMs = processorMs;
    if (hasComputed) return 'computed';
    return isAnyThreadStarved(pid) ? 'starved' : 'nothing';
  }
}

function isAnyThreadStarved(pid: number): boolean {
  return threadsOf(pid).some((thread) => /[RD]/.test(statOf(`${pid}/task/${thread}`)[0] ?? ''));
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** The fields of a process or thread from its state on. */
function statOf(path: string): string[] {
  // The name of the program, in parentheses, may contain anything.
  return /^.*\) (.*)/s.exec(read(`${path}/stat`))?.[1]?.split(' ') ?? [];
}

function read(file: string): string {
  try {
    return readFileSync(`/proc/${file}`, 'utf8');
  } catch {
    return '';
  }
}
