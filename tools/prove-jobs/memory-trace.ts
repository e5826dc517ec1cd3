/** Resident memory of edge and queue, by what a job is doing. */
import { processesOf, residentOf } from '../load/memory.ts';

export type Phase = 'send' | 'ingest' | 'run' | 'seal' | 'read';

type Sample = { phase: Phase; edge: number; queue: number };

const EVERY_MS = 1000;

export class MemoryTrace {
  /** What the job is doing now. */
  phase: Phase = 'send';
  /** Megabytes (10^6 bytes). The queue is in this process. */
  readonly samples: Sample[] = [];
  readonly #timer: NodeJS.Timeout;

  /** @param workerPid of the GPU worker, whose processes are none of the edge's */
  constructor(workerPid: () => number | undefined) {
    const sample = async () => {
      const processes = await processesOf(workerPid());
      const sizes = await Promise.all(
        processes.filter(({ process }) => process === 'workerd').map(({ pid }) => residentOf(pid)),
      );
      const edge = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
      this.samples.push({ phase: this.phase, edge, queue: process.memoryUsage.rss() / 1e6 });
    };
    void sample();
    this.#timer = setInterval(() => void sample(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Megabytes of a process in a phase: at its beginning, at its end, and at most. */
  of(phase: Phase, what: 'edge' | 'queue'): { first: number; last: number; most: number } | null {
    const values = this.samples.filter((one) => one.phase === phase).map((one) => one[what]);
    const [first, last] = [values.at(0), values.at(-1)];
    if (first === undefined || last === undefined) return null;
    return { first, last, most: Math.max(...values) };
  }
}
