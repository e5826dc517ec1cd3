/** Measures the GPU worker's memory, and the time until it is ready. */
import { readFile } from 'node:fs/promises';
import type { Stack } from '../local-stack.ts';

/** Gigabytes as Linux counts them; elsewhere the cells are marked. */
export async function memoryRows(stack: Stack): Promise<string[][]> {
  const { resident, most } = await memoryOf(stack);
  const gigabytes = (value: number) => (Number.isNaN(value) ? 'only on Linux' : value.toFixed(2));
  return [
    ['ready after (s)', 'resident (GB)', 'at most (GB)'],
    [stack.loadSeconds.toFixed(1), gigabytes(resident), gigabytes(most)],
  ];
}

/** Gigabytes of the GPU worker, now and at most so far; NaN elsewhere than on Linux. */
export async function memoryOf({ worker }: Stack): Promise<{ resident: number; most: number }> {
  const status = await readFile(`/proc/${worker.pid}/status`, 'utf8').catch(() => '');
  const gigabytes = (name: string) => {
    const kilobytes = new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1];
    return (Number(kilobytes ?? Number.NaN) * 1024) / 1e9;
  };
  return { resident: gigabytes('VmRSS'), most: gigabytes('VmHWM') };
}
