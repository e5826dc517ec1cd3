import { runInDurableObject } from 'cloudflare:test';
import { expect, it, vi } from 'vitest';
import { valueFrom } from '../predictions/contract.ts';
import { testEnv } from '../testing/edge.ts';
import { bound, bucket, createJob } from '../testing/jobs.ts';
import { type JobObject, partKey } from './contract.ts';
import { type JobIndexObject, ROOM_OF } from './job-index-contract.ts';
import type { JobRecord, JobTable } from './job-table.ts';
import { noteResults } from './note-results.ts';

const GIB = 2 ** 30;
const indexes = bound(testEnv.JOB_INDEX);

/** A job that has an owner with an object, which lists it. */
async function listedJob() {
  const owner = indexes.newUniqueId();
  const index = indexes.get(owner) as unknown as JobIndexObject;
  const lines = Array.from({ length: 60 }, (_, i) => ({
    custom_id: `item-${i}`,
    method: 'POST',
    url: '/v1/captions',
    body: { image: { url: `https://images.example.org/${i}.png` } },
  }));
  const job = await createJob(lines, { owner: `${owner}` });
  const times = { createdAt: Date.now(), deleteAt: Date.now() + 3_600_000 };
  valueFrom(await index.addJob({ id: job.id, kind: 'batch', ...times }, ROOM_OF.key));
  const stub = indexes.get(owner);
  const noted = () =>
    runInDurableObject(stub, (_, { storage }) =>
      storage.sql.exec('SELECT id, is_open, result_bytes FROM jobs').toArray(),
    );
  /** Of its results in the bucket. */
  const stored = async () => {
    const key = (part: number) => partKey({ owner: `${owner}`, job: job.id, part }, 'out');
    const objects = await Promise.all([0, 1].map((part) => bucket.head(key(part))));
    return objects.reduce((sum, object) => sum + (object?.size ?? 0), 0);
  };
  return { job, noted, stored };
}

it('a job says at its end what its results have in the bucket, and that it has none when they are deleted', async () => {
  const { job, noted, stored } = await listedJob();
  await job.run();
  const bytes = await stored();
  expect(bytes).toBeGreaterThan(0);
  const row = { id: job.id, is_open: 0, result_bytes: bytes };
  await vi.waitFor(async () => expect(await noted()).toEqual([row]));
  await (job.stub as unknown as JobObject).deleteResults(job.id, 'completed');
  await vi.waitFor(async () => expect(await noted()).toEqual([{ ...row, result_bytes: 0 }]));
});

it('a job that was purged counts no more', async () => {
  const { job, noted } = await listedJob();
  await job.run();
  await (job.stub as unknown as JobObject).purge(job.id);
  await vi.waitFor(async () => expect(await noted()).toEqual([]));
});

it('a job of an earlier version goes on, and says what its parts say', async () => {
  const { job, noted, stored } = await listedJob();
  await job.until('in_progress');
  await runInDurableObject(job.stub, (_, { storage }) => {
    storage.sql.exec('ALTER TABLE part DROP COLUMN result_bytes');
  });
  await runInDurableObject(job.stub, (_, state) => state.abort('deployed')).catch(() => {});
  expect(await job.run()).toMatchObject({ counts: { completed: 60 } });
  const bytes = await stored();
  await vi.waitFor(async () => expect(await noted()).toMatchObject([{ result_bytes: bytes }]));
});

/** What is said of a job, as its results grow. */
function playedJob() {
  let record = { id: 'a'.repeat(96), state: 'in_progress' } as JobRecord;
  let [resultBytes, canceled] = [0, 0];
  const said: unknown[] = [];
  let fails = false;
  const table = {
    get record() {
      return record;
    },
    totals: () =>
      ({ resultBytes, completed: 0, failed: 0, canceled }) as ReturnType<JobTable['totals']>,
    update: (change: Partial<JobRecord>) => {
      record = { ...record, ...change };
    },
  };
  const index = {
    noteResults: async (_: string, results: unknown) => {
      if (fails) throw new Error('not now');
      said.push(results);
    },
  };
  const note = (
    change: Partial<JobRecord> & { bytes?: number; items?: number; fails?: boolean },
  ) => {
    const { bytes = resultBytes, items = canceled, fails: failing = false, ...rest } = change;
    [resultBytes, canceled, fails] = [bytes, items, failing];
    table.update(rest);
    return noteResults(table, index);
  };
  return { note, said };
}

it('says it at each further GiB and at the end, once', async () => {
  const { note, said } = playedJob();
  for (const bytes of [5, GIB - 1, GIB, GIB + 1, 2 * GIB - 1, 2.5 * GIB]) await note({ bytes });
  await note({ state: 'completed' });
  await note({});
  await note({ isEmptied: true });
  await note({});
  expect(said).toEqual([
    { bytes: GIB, hasEnded: false },
    { bytes: 2.5 * GIB, hasEnded: false },
    { bytes: 2.5 * GIB, hasEnded: true },
    { bytes: 0, hasEnded: true },
  ]);
});

it('says it again where it could not be said', async () => {
  const { note, said } = playedJob();
  expect(await note({ bytes: 7, state: 'completed', fails: true })).toBe(false);
  expect(await note({})).toBe(true);
  expect(said).toEqual([{ bytes: 7, hasEnded: true }]);
});

it('says that it has none where it ran, and nothing where it did not', async () => {
  const [ran, failed] = [playedJob(), playedJob()];
  await ran.note({ items: 3, state: 'cancelled' });
  await ran.note({});
  await failed.note({ state: 'failed' });
  expect([ran.said, failed.said]).toEqual([[{ bytes: 0, hasEnded: true }], []]);
});
