/** What the tasks of an evaluation share: its options, its report, and many requests at a time with a progress bar. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type * as z from 'zod/mini';
import type { StatusLine } from '../../status-line.ts';
import type { Published } from './published-results.ts';
import { Replies } from './replies.ts';
import type { Service } from './service.ts';

export type RunOptions = {
  /** Called once the data set was read: what is wrong with that is said at once. */
  start: () => Promise<Service>;
  /** Folder of the data set. */
  folder: string;
  /** Folder in which replies are stored. */
  repliesFolder: string;
  /** How many items, spread over all; all where there is none. */
  limit?: number | undefined;
  /** In place of the paper's prompt; `none` is no prompt at all. */
  prompt?: string | undefined;
  /** Requests under way at a time. */
  concurrency: number;
  line: StatusLine;
};

/** Rows of cells, the head first; lines that say what to bear in mind. */
export type Report = { tables: string[][][]; notes: string[] };

/** So many of all as `limit` says, evenly spread. */
export function spread<T>(all: readonly T[], limit: number = all.length): T[] {
  const count = Math.min(limit, all.length);
  return Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)]!);
}

/**
 * Opens the replies of an evaluation. Each of another model or with other settings has a file of its own.
 * @param decides everything that decides a reply
 */
export async function openReplies<T>(
  { repliesFolder }: RunOptions,
  name: string,
  decides: unknown,
  value: z.ZodMiniType<T>,
): Promise<{ replies: Replies<T>; path: string }> {
  const digest = createHash('sha256').update(JSON.stringify(decides)).digest('hex').slice(0, 12);
  const path = join(repliesFolder, `blip2-${name}-${digest}.jsonl`);
  return { replies: await Replies.open(path, value), path };
}

/** Runs `task` for all items, some at a time. The first failure ends it; what was replied until then is stored. */
export async function forEachItem<T, R>(
  { concurrency, line }: RunOptions,
  about: string,
  items: readonly T[],
  task: (item: T) => Promise<R>,
): Promise<R[]> {
  const start = performance.now();
  let finished = 0;
  const results = await Readable.from(items)
    .map(
      async (item: T) => {
        const result = await task(item);
        finished++;
        line.update(progressText(about, finished, items.length, performance.now() - start));
        return result;
      },
      { concurrency },
    )
    .toArray();
  line.clear();
  return results;
}

const CELLS = 20;

/** @example progressText('captions', 5, 10, 60_000) // 'captions ██████████░░░░░░░░░░ 50 %, 5 of 10, 1 min left' */
export function progressText(about: string, done: number, total: number, spentMs: number): string {
  const filled = Math.floor((CELLS * done) / total);
  const bar = '█'.repeat(filled) + '░'.repeat(CELLS - filled);
  const minutes = Math.ceil(((spentMs / done) * (total - done)) / 60_000);
  return `${about} ${bar} ${Math.floor((100 * done) / total)} %, ${done} of ${total}, ${minutes} min left`;
}

/** A score from 0 to 1 in percent. */
export function percent(score: number | null): string {
  return score === null ? '–' : (100 * score).toFixed(1);
}

/** A table of this run's scores with the paper's below. @param own from 0 to 1 */
export function besidePaper(
  columns: readonly string[],
  model: string,
  own: readonly (number | null)[],
  { table, rows }: Published,
): string[][] {
  const published = rows.map(([name, ...values]) => [
    `BLIP-2 ${name}`,
    ...values.map((value) => (value === null ? '–' : value.toFixed(1))),
  ]);
  return [
    [`paper: ${table}`, ...columns],
    [`**${model}, here**`, ...own.map(percent)],
    ...published,
  ];
}
