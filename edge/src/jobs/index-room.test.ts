/** Results of one owner's jobs: which job is added, and which are deleted for it. */
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, expect, it, vi } from 'vitest';
import { valueFrom } from '../predictions/contract.ts';
import { createJob } from '../testing/jobs.ts';
import type { JobObject } from './contract.ts';
import type { JobIndex } from './job-index.ts';
import { type JobRoom, MAX_OPEN_JOBS, ROOM_OF } from './job-index-contract.ts';

const { JOB_INDEX } = env as unknown as { JOB_INDEX: DurableObjectNamespace<JobIndex> };
const GIB = 2 ** 30;

let index: DurableObjectStub<JobIndex>;
beforeEach(() => {
  index = JOB_INDEX.get(JOB_INDEX.newUniqueId());
});

/** A job whose lines are there. */
const add = async (id: string, room: JobRoom, reads?: string) => {
  const now = Date.now();
  const job = { id, kind: 'job', createdAt: now, deleteAt: now + 3_600_000 } as const;
  const added = await index.addJob({ ...job, ...(reads && { reads }) }, room);
  await index.hasJob(id);
  return added;
};

/** Jobs with so many GiB of results each. */
async function addAll(jobs: Record<string, number>, room: JobRoom, hasEnded = true): Promise<void> {
  for (const id of Object.keys(jobs)) valueFrom(await add(id, room));
  for (const [id, size] of Object.entries(jobs)) {
    await index.noteResults(id, { bytes: size * GIB, hasEnded });
  }
}

async function ids(): Promise<string[] | undefined> {
  await runDurableObjectAlarm(index);
  const page = await index.listJobs('job', { after: null, limit: 50, oldestFirst: true });
  return page?.entries.map(({ id }) => id);
}

it('adds no job of a key whose results have the bound, until some are deleted', async () => {
  await addAll({ a: 1000, b: 24 }, ROOM_OF.key);
  expect(await add('c', ROOM_OF.key)).toMatchObject({
    problem: {
      type: '/problems/storage-full',
      status: 429,
      limit: 1024 * GIB,
      actual: 1024 * GIB,
      detail: expect.stringContaining('purge=true'),
    },
  });
  await index.noteResults('b', { bytes: 0, hasEnded: true });
  expect(await add('c', ROOM_OF.key)).toEqual({ value: null });
  await index.noteResults('c', { bytes: 24 * GIB, hasEnded: false });
  expect(await add('d', ROOM_OF.key)).toMatchObject({ problem: { status: 429 } });
  await index.removeJob('a');
  expect(await add('d', ROOM_OF.key)).toEqual({ value: null });
});

it('deletes the oldest of an address that have ended and have results, until the rest is below the bound', async () => {
  await addAll({ running: 3 }, ROOM_OF.address, false);
  await addAll({ empty: 0, a: 5, b: 5, c: 5, d: 7 }, ROOM_OF.address);
  valueFrom(await add('next', ROOM_OF.address));
  // Without a there are 20 GiB, which is the bound itself.
  await vi.waitFor(async () => expect(await ids()).toEqual(['running', 'empty', 'c', 'd', 'next']));
  valueFrom(await add('another', ROOM_OF.address));
  expect(await ids()).toEqual(['running', 'empty', 'c', 'd', 'next', 'another']);
});

it('adds no job of an address where those that have not ended have the bound', async () => {
  await addAll({ a: 12, b: 8 }, ROOM_OF.address, false);
  const problem = { status: 429, limit: 20 * GIB, actual: 20 * GIB };
  expect(await add('c', ROOM_OF.address)).toMatchObject({ problem });
  await index.noteResults('a', { bytes: 12 * GIB, hasEnded: true });
  expect(await add('c', ROOM_OF.address)).toEqual({ value: null });
  await vi.waitFor(async () => expect(await ids()).toEqual(['b', 'c']));
});

it('counts a job that says its end out, so that nobody has to ask it', async () => {
  await addAll({ a: 1 }, ROOM_OF.key);
  expect(await index.hasJob('a')).toBe(false);
});

it('goes on with the jobs of an earlier version, whose results were not counted', async () => {
  valueFrom(await add('a', ROOM_OF.key));
  await runInDurableObject(index, (_, { storage }) => {
    storage.sql.exec('ALTER TABLE jobs DROP COLUMN result_bytes');
  });
  await runInDurableObject(index, (_, state) => state.abort('deployed')).catch(() => {});
  index = JOB_INDEX.get(index.id);
  await index.noteResults('a', { bytes: 1024 * GIB, hasEnded: true });
  expect(await add('b', ROOM_OF.key)).toMatchObject({ problem: { actual: 1024 * GIB } });
  // One that was never there is not listed for it, and leaves nothing behind.
  const unused = JOB_INDEX.get(JOB_INDEX.newUniqueId());
  await unused.noteResults('a', { bytes: 1, hasEnded: true });
  await runInDurableObject(unused, (_, { storage }) => {
    expect(storage.sql.exec('SELECT name FROM sqlite_master').toArray()).toEqual([]);
  });
});

it('forgets batches of a key that have nothing to read where there is no room, and refuses after that', async () => {
  const room: JobRoom = { jobs: 3, beyond: 'refuse', resultBytes: GIB };
  const addBatch = async (id: string, bytes: number) => {
    const times = { createdAt: Date.now(), deleteAt: Date.now() + 3_600_000 };
    valueFrom(await index.addJob({ id, kind: 'batch', ...times }, room));
    await index.noteResults(id, { bytes, hasEnded: true });
  };
  await addBatch('read', 5);
  await addBatch('failed', 0);
  await addBatch('emptied', 0);
  expect(await add('one', room)).toEqual({ value: null });
  expect(await add('two', room)).toEqual({ value: null });
  const refused = await add('three', room);
  expect(refused).toMatchObject({ problem: { status: 429, limit: 3 } });
  await runDurableObjectAlarm(index);
  const page = { after: null, limit: 50, oldestFirst: true };
  expect((await index.listJobs('batch', page))?.entries.map(({ id }) => id)).toEqual(['read']);
});

it('leaves a job whose items another one runs again, until that one has ended', async () => {
  await addAll({ first: 15, later: 5 }, ROOM_OF.address);
  valueFrom(await add('again', ROOM_OF.address, 'first'));
  await vi.waitFor(async () => expect(await ids()).toEqual(['first', 'again']));
  const few = { ...ROOM_OF.address, jobs: 1 };
  valueFrom(await add('next', few));
  expect(await ids()).toEqual(['first', 'again', 'next']);
  await index.noteResults('again', { bytes: 0, hasEnded: true });
  valueFrom(await add('last', few));
  await vi.waitFor(async () => expect(await ids()).toEqual(['next', 'last']));
});

it('counts jobs out that have ended where the results of those that seem open have all the room', async () => {
  // None of these is a job that runs, and their time to be created is over.
  const times = { createdAt: 1, deleteAt: Date.now() + 3_600_000 };
  for (const id of ['a', 'b']) {
    valueFrom(await index.addJob({ id, kind: 'job', ...times }, ROOM_OF.address));
    await index.noteResults(id, { bytes: 10 * GIB, hasEnded: false });
  }
  expect(await add('c', ROOM_OF.address)).toEqual({ value: null });
});

it('leaves room to a batch that has just ended, until it says what its results have', async () => {
  const image = { url: 'https://images.example.org/a.png' };
  const line = { custom_id: 'a', method: 'POST', url: '/v1/captions', body: { image } };
  const batch = await createJob([line]);
  const room: JobRoom = { jobs: 1, beyond: 'refuse', resultBytes: GIB };
  const times = { createdAt: Date.now(), deleteAt: Date.now() + 3_600_000 };
  valueFrom(await index.addJob({ id: batch.id, kind: 'batch', ...times }, room));
  await batch.run();
  // Others take all places: it is asked whether it has ended.
  const places = { ...room, jobs: 1000 };
  for (let i = 1; i < MAX_OPEN_JOBS; i++) valueFrom(await add(`${i}`, places));
  expect(await index.hasJob(batch.id)).toBe(true);
  valueFrom(await add('next', places));
  expect(await index.hasJob(batch.id)).toBe(false);
  expect(await add('beyond', { ...room, jobs: MAX_OPEN_JOBS + 1 })).toHaveProperty('problem');
  await runDurableObjectAlarm(index);
  expect(await (batch.stub as unknown as JobObject).snapshot(batch.id)).not.toBeNull();
  const page = { after: null, limit: 50, oldestFirst: true };
  expect((await index.listJobs('batch', page))?.entries).toHaveLength(1);
});
