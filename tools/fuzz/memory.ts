/** What the processes of the service hold in memory, and whether that is back to where it was. */
import { readdir, readFile } from 'node:fs/promises';
import { Violation } from './violation.ts';

/** Bytes: now, and at most so far. */
type Memory = { resident: number; most: number };

/** By what a process is; of several that are the same, the largest. */
export type Memories = ReadonlyMap<string, Memory>;

const WORKER = 'the GPU worker';
const WORKERD = 'workerd';
const DECODER = 'a process that decodes images';

/**
 * Bytes that a process may keep beyond what it had before a target. The GPU worker's caches of image features and prefixes fill
 * up, and allocators keep what large images needed; one that decodes caches nothing, and frees what a large image took. A leak grows
 * beyond.
 */
const MAX_GROWTH: Record<string, number> = {
  [WORKER]: 600 * 2 ** 20,
  [WORKERD]: 600 * 2 ** 20,
  [DECODER]: 300 * 2 ** 20,
};
/** Bytes that it may hold meanwhile. */
const MORE_AT_MOST = 1.5 * 2 ** 30;

/**
 * Of the GPU worker, those that decode images for it, and workerd; none where the system is not Linux.
 * @param worker id of the process of the GPU worker
 * @param edge id of the process that has started workerd
 */
export async function memoryOf(worker: number, edge: number): Promise<Memories> {
  const processes: [string, number][] = [[WORKER, worker]];
  for (const pid of await childrenOf(edge)) {
    if ((await textOf(pid, 'comm')).trim() === 'workerd') processes.push([WORKERD, pid]);
  }
  for (const pid of await childrenOf(worker)) {
    if ((await textOf(pid, 'cmdline')).includes('image/decoder.ts')) processes.push([DECODER, pid]);
  }
  const found = new Map<string, Memory>();
  for (const [name, pid] of processes) {
    const status = await textOf(pid, 'status');
    const bytes = (field: string) =>
      1024 * Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? Number.NaN);
    const [resident, most] = [bytes('VmRSS'), bytes('VmHWM')];
    // It has just ended.
    if (Number.isNaN(resident)) continue;
    const other = found.get(name) ?? { resident: 0, most: 0 };
    found.set(name, {
      resident: Math.max(resident, other.resident),
      most: Math.max(most, other.most),
    });
  }
  return found;
}

/** @throws Violation where a process keeps more than before, or has held too much meanwhile */
export function expectMemory(now: Memories, before: Memories): void {
  const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  for (const [name, { resident, most }] of now) {
    const earlier = before.get(name) ?? { resident: 0, most: 0 };
    if (resident > earlier.resident + (MAX_GROWTH[name] ?? 0)) {
      const was = megabytes(earlier.resident);
      throw new Violation(`${name} keeps ${megabytes(resident)} in memory, and had ${was} before`);
    }
    if (most > Math.max(earlier.most, earlier.resident + MORE_AT_MOST)) {
      throw new Violation(`${name} took ${megabytes(most)} meanwhile`);
    }
  }
}

/** Of all threads: a process belongs to the one that has started it. */
async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const children = threads.map((thread) => textOf(pid, `task/${thread}/children`));
  return (await Promise.all(children)).join(' ').split(' ').filter(Boolean).map(Number);
}

async function textOf(pid: number, file: string): Promise<string> {
  return await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}
