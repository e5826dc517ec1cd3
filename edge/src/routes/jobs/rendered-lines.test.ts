/** Results are rendered piece by piece, each in a turn of its client, whether or not anything of it is asked for. */
import { afterEach, beforeEach, expect, it, type MockInstance, vi } from 'vitest';
import type { Dependencies } from '../../dependencies.ts';
import { type JobSnapshot, partKey } from '../../jobs/contract.ts';
import { startEdge } from '../../testing/edge.ts';
import { bucket } from '../../testing/jobs.ts';
import { resultReads } from '../../turns/bulk-reads.ts';
import { heldOf, rendered, streamed } from './rendered-lines.ts';
import { jobLineText } from './result-lines.ts';

const ITEMS = 200;
const BODY = { embeddings: 'x'.repeat(2000) };

let turns: MockInstance;
beforeEach(() => {
  turns = vi.spyOn(resultReads, 'run');
});
afterEach(() => {
  turns.mockRestore();
});

/** A job of one closed part, of which some items failed. */
async function job(state: JobSnapshot['state'], failed: readonly number[]) {
  const owner = crypto.randomUUID().replaceAll('-', '').repeat(2);
  const id = crypto.randomUUID().replaceAll('-', '').repeat(3);
  const lines = Array.from({ length: ITEMS }, (_, item) =>
    JSON.stringify({
      ...{ part: 0, item, custom_id: `${item}` },
      ...(failed.includes(item)
        ? { outcome: 'failed', status: 400, body: { detail: 'No.' } }
        : { outcome: 'completed', status: 200, body: BODY }),
      error: null,
    }),
  );
  await bucket.put(partKey({ owner, job: id, part: 0 }, 'out'), `${lines.join('\n')}\n`);
  const pages = vi.fn(async () => ({ kind: 'closed' }));
  const jobParts = { getByName: () => ({ page: pages }) };
  const deps = { ...startEdge().deps, jobParts } as unknown as Dependencies;
  const counts = {
    total: ITEMS,
    completed: ITEMS - failed.length,
    failed: failed.length,
    canceled: 0,
  };
  const snapshot = { id, order: { owner }, parts: 1, state, counts } as unknown as JobSnapshot;
  const read = async (which: 'all' | 'completed' | 'failed', onMade = (_bytes: number) => {}) => {
    const query = { from: null, which, overGaps: true, head: '', write: jobLineText, onMade };
    return await new Response(await streamed(rendered(deps, 'a client', snapshot, query))).text();
  };
  return { lines, pages, read };
}

it('takes a turn for each 64 KiB, also where nothing is asked for', async () => {
  const { lines, read } = await job('in_progress', []);
  expect(await read('all')).toBe(lines.map(jobLineText).join(''));
  const pieces = Math.ceil((ITEMS * 2000) / 2 ** 16);
  expect(turns.mock.calls.length).toBeGreaterThanOrEqual(pieces);
  expect(turns.mock.calls.every(([client]) => client === 'a client')).toBe(true);
  turns.mockClear();
  expect(await read('failed')).toBe('');
  expect(turns.mock.calls.length).toBeGreaterThanOrEqual(pieces);
});

it('reads nothing of a job that has ended where none is asked for', async () => {
  const { pages, read } = await job('completed', []);
  expect(await read('failed')).toBe('');
  expect(pages).not.toHaveBeenCalled();
  expect(turns).not.toHaveBeenCalled();
});

it('stops behind the last that is asked for', async () => {
  const { lines, read } = await job('completed', [1, 20]);
  expect(await read('failed')).toBe(
    `${jobLineText(lines[1] ?? '')}${jobLineText(lines[20] ?? '')}`,
  );
  expect(turns.mock.calls.length).toBeLessThanOrEqual(3);
});

it('counts in memory as what was read ahead, and what was passed over, which is little of a small job', () => {
  const of = (change: Partial<JobSnapshot>, which: 'all' | 'failed' = 'all') =>
    heldOf({ state: 'completed', ...change } as JobSnapshot, which);
  expect([of({ resultBytes: 5000 }), of({ resultBytes: 2 ** 30 })]).toEqual([5000, 2 ** 20]);
  expect(of({ resultBytes: 2 ** 30 }, 'failed')).toBe(2 ** 20 + 600_000);
  // Objects of an earlier version, and parts that go on, have not said all.
  expect([of({}), of({ state: 'in_progress', resultBytes: 5000 })]).toEqual([2 ** 20, 2 ** 20]);
});

it('says how large each piece is when it is there', async () => {
  const { read } = await job('completed', []);
  const made: number[] = [];
  const text = await read('all', (bytes) => made.push(bytes));
  expect(made.length).toBeGreaterThan(1);
  expect(made.reduce((sum, bytes) => sum + bytes)).toBe(text.length);
});

it('breaks off where nobody reads on', async () => {
  const ended = Promise.withResolvers<void>();
  const lines = async function* () {
    for (;;) yield { bytes: new Uint8Array(1), next: null };
  };
  const body = await streamed(lines, { stalledMs: 1, onEnd: ended.resolve });
  await ended.promise;
  await expect(new Response(body).arrayBuffer()).rejects.toThrow();
});
