/** What the GPU worker holds, and how long it takes to be ready. */
import { readFile } from 'node:fs/promises';
import type { Stack } from '../stack.ts';

/** Gigabytes from Linux' figures of the process; elsewhere the table says so. */
export async function memoryRows({ worker, loadSeconds }: Stack): Promise<string[][]> {
  const status = await readFile(`/proc/${worker.pid}/status`, 'utf8').catch(() => '');
  const gigabytes = (name: string) => {
    const kilobytes = new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1];
    return kilobytes === undefined
      ? 'only on Linux'
      : ((Number(kilobytes) * 1024) / 1e9).toFixed(2);
  };
  return [
    ['ready after (s)', 'resident (GB)', 'at most (GB)'],
    [loadSeconds.toFixed(1), gigabytes('VmRSS'), gigabytes('VmHWM')],
  ];
}
