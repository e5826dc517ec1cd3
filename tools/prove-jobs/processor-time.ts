/** Processor time of what takes part in a job of very many items: where their rate is bound. */
import { processorMsOf } from '@blip2/gpu-worker/image/process-usage';
import { processesOf } from '../load/memory.ts';

/** Milliseconds since each began. `queue`: this process, which has the queue; `standIn`: what commits in place of a GPU worker. */
export type ProcessorTime = { edge: number; queue: number; standIn: number };

export async function processorTime(of: {
  worker: number | undefined;
  standIn: number | undefined;
}): Promise<ProcessorTime> {
  const msOf = (pid: number | undefined) => (pid === undefined ? 0 : (processorMsOf(pid) ?? 0));
  const edges = (await processesOf(of.worker)).filter(({ process }) => process === 'workerd');
  const { user, system } = process.cpuUsage();
  return {
    edge: edges.reduce((sum, { pid }) => sum + msOf(pid), 0),
    queue: (user + system) / 1000,
    standIn: msOf(of.standIn),
  };
}

/** What came between two looks, for each of so many items. */
export function perItem(from: ProcessorTime, to: ProcessorTime, items: number): ProcessorTime {
  return {
    edge: (to.edge - from.edge) / items,
    queue: (to.queue - from.queue) / items,
    standIn: (to.standIn - from.standIn) / items,
  };
}
