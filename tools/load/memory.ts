/** Resident memory of the service's processes while it is under load, and whether it grows. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { childrenOf } from '../child-processes.ts';

/** Megabytes (10^6 bytes) at a time, hours since the beginning. */
export type Sample = { hours: number; megabytes: number };

export type Growth = {
  process: string;
  /** Medians of the first and the last tenth of the samples, MB. */
  start: number;
  end: number;
  most: number;
  /** MB an hour, and half the width of its 95 % confidence interval; null where the samples are too few. */
  slope: { perHour: number; plusMinus: number } | null;
};

/** Neighboring samples resemble each other; the medians of so many parts hardly do, and give an honest interval. */
const PARTS = 20;
/** Student's t at 97.5 % for 18 degrees of freedom. */
const T_95 = 2.101;

/** Whether memory grows: a line through the medians of twenty parts. */
export function growthOf(process: string, samples: readonly Sample[]): Growth {
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const megabytes = samples.map((sample) => sample.megabytes);
  return {
    process,
    start: middle(megabytes.slice(0, tenth)),
    end: middle(megabytes.slice(-tenth)),
    most: Math.max(...megabytes),
    slope: samples.length < 2 * PARTS ? null : slopeOf(samples),
  };
}

function slopeOf(samples: readonly Sample[]): { perHour: number; plusMinus: number } {
  const parts = Array.from({ length: PARTS }, (_, i) => {
    const edge = (part: number) => Math.round((part * samples.length) / PARTS);
    const part = samples.slice(edge(i), edge(i + 1));
    return { x: middle(part.map(({ hours }) => hours)), y: middle(part.map((s) => s.megabytes)) };
  });
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(parts.map(({ x }) => x)), mean(parts.map(({ y }) => y))];
  const sum = (of: (part: { x: number; y: number }) => number) =>
    parts.reduce((total, part) => total + of(part), 0);
  const spread = sum(({ x }) => (x - meanX) ** 2);
  const perHour = sum(({ x, y }) => (x - meanX) * (y - meanY)) / spread;
  const residual = sum(({ x, y }) => (y - meanY - perHour * (x - meanX)) ** 2);
  return { perHour, plusMinus: T_95 * Math.sqrt(residual / (PARTS - 2) / spread) };
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A process of the service, and what it is called in the report. */
type Measured = { pid: number; process: string };

/** What `end-with-parent.sh` leaves beside a program. */
const WATCHER = new Set(['sh', 'sleep']);

/** The GPU worker, what it has started, and every workerd below this process. */
export async function processesOf(workerPid: number | undefined): Promise<Measured[]> {
  const found: Measured[] = [];
  const walk = async (pid: number, isOfWorker: boolean) => {
    const children = await childrenOf(pid);
    await Promise.all(
      children.map(async (child) => {
        const ofWorker = isOfWorker || child === workerPid;
        const name = await nameOf(child);
        if (child === workerPid) found.push({ pid: child, process: 'GPU worker' });
        else if (ofWorker && !WATCHER.has(name))
          found.push({ pid: child, process: `GPU worker's ${name}` });
        else if (name === 'workerd') found.push({ pid: child, process: 'workerd' });
        await walk(child, ofWorker);
      }),
    );
  };
  await walk(process.pid, false);
  return found;
}

/** The program, or the script that Node runs. */
async function nameOf(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const [program = '', ...args] = line.split('\0');
  const script = args.find((arg) => !arg.startsWith('-'));
  return basename(basename(program) === 'node' && script !== undefined ? script : program);
}

/** Resident megabytes; null for a process that is gone. */
export async function residentOf(pid: number): Promise<number | null> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(status)?.[1];
  return kilobytes === undefined ? null : (Number(kilobytes) * 1024) / 1e6;
}

/**
 * Samples the processes until it is stopped; those of one name are added up.
 * @param workerPid the GPU worker's, asked for each sample: another may have taken its place
 */
export function watchMemory(workerPid: () => number | undefined, everyMs: number) {
  const samples = new Map<string, Sample[]>();
  const start = performance.now();
  const sample = async () => {
    const hours = (performance.now() - start) / 3_600_000;
    const sums = new Map<string, number>();
    for (const { pid, process } of await processesOf(workerPid())) {
      const megabytes = await residentOf(pid);
      if (megabytes !== null) sums.set(process, (sums.get(process) ?? 0) + megabytes);
    }
    for (const [process, megabytes] of sums) {
      const taken = samples.get(process) ?? [];
      taken.push({ hours, megabytes });
      samples.set(process, taken);
    }
  };
  let last = sample();
  const timer = setInterval(() => {
    last = last.then(sample);
  }, everyMs);
  return {
    stop: async (): Promise<Growth[]> => {
      clearInterval(timer);
      await last;
      await sample();
      return [...samples].map(([process, taken]) => growthOf(process, taken));
    },
  };
}
