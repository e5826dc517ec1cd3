/** Whether the results of a job add up: every item one line, counts that say the same, and nothing failed but what had to. */
import type { Counts, JobState, ResultLine } from './job-client.ts';

export type Expected = {
  /** Of all items, in their order. */
  ids: readonly string[];
  /** Those that have to fail, each with this code. */
  poison: ReadonlyMap<string, string>;
  /** What the job has to have come to. */
  status: string;
};

/** @returns what does not add up, a sentence each */
export function faultsOf(
  { status, items }: Pick<JobState, 'status' | 'items'>,
  lines: readonly ResultLine[],
  expected: Expected,
): string[] {
  const faults: string[] = [];
  const expect = (holds: boolean, what: string) => {
    if (!holds) faults.push(what);
  };
  expect(status === expected.status, `The job is ${status} and not ${expected.status}.`);
  const byId = new Map<string, number>();
  for (const { id } of lines) byId.set(id, (byId.get(id) ?? 0) + 1);
  const missing = expected.ids.filter((id) => !byId.has(id));
  const doubled = [...byId].filter(([, count]) => count > 1).map(([id]) => id);
  expect(missing.length === 0, `${missing.length} items have no line: ${some(missing)}.`);
  expect(doubled.length === 0, `${doubled.length} items have several lines: ${some(doubled)}.`);
  const order = lines.map(({ id }) => id).join(' ');
  const isInOrder = missing.length + doubled.length > 0 || order === expected.ids.join(' ');
  expect(isInOrder, 'The lines are not in the order of the items.');
  const counted = countsOf(lines, expected.ids.length);
  const { total, completed, failed, canceled } = items;
  expect(total === completed + failed + canceled, `Counts do not add up: ${said(items)}.`);
  expect(said(items) === said(counted), `Counts say ${said(items)}, lines ${said(counted)}.`);
  const wronged = lines.filter(({ id, error }) => {
    return isFailed(error) && error?.code !== expected.poison.get(id);
  });
  const names = wronged.map(({ id, error }) => `${id} (${error?.code})`);
  expect(wronged.length === 0, `${wronged.length} innocent items failed: ${some(names)}.`);
  const spared = lines.filter(({ id, error }) => expected.poison.has(id) && error === null);
  expect(spared.length === 0, `Poison has a result: ${some(spared.map(({ id }) => id))}.`);
  return faults;
}

const CANCELED = 'canceled';

function isFailed(error: ResultLine['error']): boolean {
  return error !== null && error.code !== CANCELED;
}

function countsOf(lines: readonly ResultLine[], total: number): Counts {
  const count = (of: (line: ResultLine) => boolean) => lines.filter(of).length;
  return {
    total,
    completed: count(({ error }) => error === null),
    failed: count(({ error }) => isFailed(error)),
    canceled: count(({ error }) => error?.code === CANCELED),
  };
}

function said({ total, completed, failed, canceled }: Counts): string {
  return `${completed} completed, ${failed} failed, ${canceled} canceled of ${total}`;
}

function some(names: readonly string[]): string {
  return names.slice(0, 10).join(', ');
}
