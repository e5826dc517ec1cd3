/** Processor time of the service's processes, as the kernel counts it. Linux only. */
import { readFile } from 'node:fs/promises';
import { processesOf } from '../load/memory.ts';

/** Milliseconds since each began. */
export type ProcessorTime = { client: number; edge: number; worker: number; decoders: number };

const TICK_MS = 10;

/** @param workerPid of the GPU worker */
export async function processorTime(workerPid: number | undefined): Promise<ProcessorTime> {
  const own = process.cpuUsage();
  const times: ProcessorTime = {
    client: (own.user + own.system) / 1000,
    edge: 0,
    worker: 0,
    decoders: 0,
  };
  for (const { pid, process: name } of await processesOf(workerPid)) {
    const ms = await timeOf(pid);
    if (name === 'GPU worker') times.worker += ms;
    else if (name === 'workerd') times.edge += ms;
    else times.decoders += ms;
  }
  return times;
}

/** Milliseconds of one process; 0 where there is none. */
export async function timeOf(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name, in brackets, may hold anything; behind it are state and numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return TICK_MS * (Number(fields[11] ?? 0) + Number(fields[12] ?? 0));
}

export function difference(after: ProcessorTime, before: ProcessorTime): ProcessorTime {
  return {
    client: after.client - before.client,
    edge: after.edge - before.edge,
    worker: after.worker - before.worker,
    decoders: after.decoders - before.decoders,
  };
}
