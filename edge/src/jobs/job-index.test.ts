import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, expect, it, vi } from 'vitest';
import type { Env } from '../platform.ts';
import { valueFrom } from '../predictions/contract.ts';
import { createJob } from '../testing/jobs.ts';
import { inputKey, type JobObject } from './contract.ts';
import { JobBase } from './job.ts';
import type { JobIndex } from './job-index.ts';
import {
  fileKey,
  MAX_FILES,
  MAX_OPEN_JOBS,
  MAX_STORED_BYTES,
  ROOM_OF,
} from './job-index-contract.ts';

const { JOB_INDEX, JOB_FILES } = env as unknown as {
  JOB_INDEX: DurableObjectNamespace<JobIndex>;
  JOB_FILES: NonNullable<Env['JOB_FILES']>;
};
const HOUR_MS = 3_600_000;

let index: DurableObjectStub<JobIndex>;
beforeEach(() => {
  index = JOB_INDEX.get(JOB_INDEX.newUniqueId());
});

async function storeFile(bytes = 2, storedMs = HOUR_MS): Promise<string> {
  const { id } = valueFrom(await index.reserveFile());
  await JOB_FILES.put(fileKey(id), '{}');
  return valueFrom(await index.putFile({ id, name: 'a.jsonl', bytes }, storedMs)).id;
}

/** What an alarm does at a later time. */
async function alarmAt(ms: number): Promise<void> {
  vi.useFakeTimers({ now: Date.now() + ms, toFake: ['Date'] });
  try {
    await runDurableObjectAlarm(index);
  } finally {
    vi.useRealTimers();
  }
}

it('deletes a file and its bytes when it has expired, and then itself', async () => {
  const id = await storeFile();
  await alarmAt(HOUR_MS / 2);
  expect(await index.findFile(id)).toMatchObject({ id, bytes: 2 });
  await alarmAt(HOUR_MS + 1);
  expect(await index.findFile(id)).toBeNull();
  expect(await JOB_FILES.head(fileKey(id))).toBeNull();
  await runInDurableObject(index, async (_, { storage }) => {
    expect(storage.sql.exec('SELECT name FROM sqlite_master').toArray()).toEqual([]);
  });
});

it('deletes what came and was never finished', async () => {
  const { id } = valueFrom(await index.reserveFile());
  await JOB_FILES.put(fileKey(id), '{}');
  expect(await index.findFile(id)).toBeNull();
  await alarmAt(HOUR_MS + 1);
  expect(await JOB_FILES.head(fileKey(id))).toBeNull();
});

it('has room for so many bytes', async () => {
  await storeFile(MAX_STORED_BYTES - 5);
  const { id } = valueFrom(await index.reserveFile());
  await JOB_FILES.put(fileKey(id), '{}');
  const refused = await index.putFile({ id, name: 'a', bytes: 6 }, HOUR_MS);
  expect(refused).toMatchObject({ problem: { type: '/problems/storage-full' } });
  expect(await JOB_FILES.head(fileKey(id))).toBeNull();
});

it('has room for so many files', async () => {
  for (let i = 0; i < MAX_FILES; i++) await index.reserveFile();
  const refused = await index.reserveFile();
  expect(refused).toMatchObject({ problem: { type: '/problems/storage-full', status: 429 } });
});

it('lists jobs of a kind by pages, and forgets those whose time is over', async () => {
  const add = async (id: string, kind: 'job' | 'batch') => {
    await index.addJob({ id, kind, createdAt: 1, deleteAt: Date.now() + HOUR_MS }, ROOM_OF.key);
    await index.noteResults(id, { bytes: 0, hasEnded: false });
  };
  for (const id of ['a', 'b', 'c']) await add(id, 'job');
  await add('d', 'batch');
  const list = (after: string | null) =>
    index.listJobs('job', { after, limit: 2, oldestFirst: false });
  const idsOf = (page: Awaited<ReturnType<typeof list>>) => page?.entries.map(({ id }) => id);
  const first = await list(null);
  expect([idsOf(first), first?.hasMore]).toEqual([['c', 'b'], true]);
  const second = await list('b');
  expect([idsOf(second), second?.hasMore]).toEqual([['a'], false]);
  expect(await list('nobody')).toBeNull();
  await alarmAt(HOUR_MS + 1);
  expect(idsOf(await list(null))).toEqual([]);
});

it('cancels and deletes a job of which nobody knows whether it was created', async () => {
  const dropped = await createJob([{ image: { url: 'https://images.example.org/a.png' } }]);
  const { id } = dropped;
  const created = dropped.stub as unknown as JobObject;
  const deleteAt = Date.now() + 24 * HOUR_MS;
  await index.addJob({ id, kind: 'job', createdAt: Date.now(), deleteAt }, ROOM_OF.key);
  await index.hasJob(id);
  await index.dropJob(id);
  /** Its objects go by the time that is: so does what deletes it. */
  const deleteNow = async () => {
    await runInDurableObject(index, (_, { storage }) => {
      const { at } = storage.sql.exec<{ at: number }>('SELECT delete_at AS at FROM jobs').one();
      expect(at).toBeLessThan(Date.now() + 120_000);
      storage.sql.exec('UPDATE jobs SET delete_at = 0');
    });
    await runDurableObjectAlarm(index);
  };
  await deleteNow();
  await dropped.until('cancelled');
  await deleteNow();
  expect(await created.snapshot(id)).toBeNull();
  const page = { after: null, limit: 9, oldestFirst: true };
  expect((await index.listJobs('job', page))?.entries).toEqual([]);
});

it('deletes the others where one job cannot be deleted', async () => {
  const jobs = [await createJob([]), await createJob([])];
  const deleteAt = Date.now() + HOUR_MS;
  for (const ended of jobs) {
    await ended.until('failed');
    await index.addJob({ id: ended.id, kind: 'job', createdAt: 1, deleteAt }, ROOM_OF.key);
    await index.hasJob(ended.id);
  }
  const forget = JobBase.prototype.forget;
  const spy = vi.spyOn(JobBase.prototype, 'forget').mockImplementation(async function (
    this: JobBase,
    id,
  ) {
    if (id === jobs[0]?.id) throw new Error('staged');
    return await forget.call(this, id);
  });
  try {
    await alarmAt(HOUR_MS + 1);
    await alarmAt(HOUR_MS + 1);
  } finally {
    spy.mockRestore();
  }
  const page = { after: null, limit: 9, oldestFirst: true };
  const left = await index.listJobs('job', page);
  expect(left?.entries.map(({ id }) => id)).toEqual([jobs[0]?.id]);
});

const job = (i: number) => ({
  id: `job ${i}`,
  kind: 'job' as const,
  createdAt: 1,
  deleteAt: Date.now() + HOUR_MS,
});

it('has so many jobs that have not ended, and counts those that have out when it is full', async () => {
  // None of these is a job that runs: more than are allowed at a time can be added one after the other.
  for (let i = 0; i <= MAX_OPEN_JOBS; i++) {
    expect(await index.addJob(job(i), ROOM_OF.key)).toEqual({ value: null });
    await index.noteResults(`job ${i}`, { bytes: 0, hasEnded: false });
  }
});

it('deletes the oldest jobs that have ended where it has room for so many', async () => {
  const room = { ...ROOM_OF.address, jobs: 6 };
  for (let i = 0; i < room.jobs + 10; i++) {
    await index.addJob(job(i), room);
    await index.noteResults(`job ${i}`, { bytes: 0, hasEnded: true });
  }
  await runDurableObjectAlarm(index);
  const list = () => index.listJobs('job', { after: null, limit: 200, oldestFirst: true });
  await vi.waitFor(async () => expect((await list())?.entries).toHaveLength(room.jobs));
  expect((await list())?.entries[0]).toMatchObject({ id: 'job 10' });
});

it('adds no job beyond those of a key, until one is deleted', async () => {
  const room = { ...ROOM_OF.key, jobs: 3 };
  for (let i = 0; i < 3; i++) await index.addJob(job(i), room);
  const problem = { type: '/problems/storage-full', status: 429, limit: 3 };
  expect(await index.addJob(job(3), room)).toMatchObject({ problem });
  await index.removeJob('job 1');
  expect(await index.addJob(job(3), room)).toEqual({ value: null });
});

it('aborts an upload in parts to which nothing came any more', async () => {
  await storeFile(2, 24 * HOUR_MS);
  const { id } = valueFrom(await index.reserveFile());
  const key = fileKey(id);
  const upload = await JOB_FILES.createMultipartUpload(key);
  const noted = { key, id: upload.uploadId, bytes: 5 };
  valueFrom(await index.noteUpload(noted));
  const part = await upload.uploadPart(1, new Uint8Array(5));
  await alarmAt(HOUR_MS / 4);
  // Another part has come: it has as long again.
  vi.useFakeTimers({ now: Date.now() + HOUR_MS / 4, toFake: ['Date'] });
  valueFrom(await index.noteUpload({ ...noted, bytes: 10 }));
  vi.useRealTimers();
  await alarmAt(0.7 * HOUR_MS);
  await runInDurableObject(index, async (_, { storage }) => {
    expect(storage.sql.exec('SELECT bytes FROM uploads').toArray()).toEqual([{ bytes: 10 }]);
  });
  await alarmAt(0.8 * HOUR_MS);
  await runInDurableObject(index, async (_, { storage }) => {
    expect(storage.sql.exec('SELECT bytes FROM uploads').toArray()).toEqual([]);
  });
  await expect(upload.complete([part])).rejects.toThrow();
});

it('leaves what was completed and not said to be', async () => {
  const { id } = valueFrom(await index.reserveFile());
  const key = fileKey(id);
  const upload = await JOB_FILES.createMultipartUpload(key);
  valueFrom(await index.noteUpload({ key, id: upload.uploadId, bytes: 5 }));
  await upload.complete([await upload.uploadPart(1, new Uint8Array(5))]);
  valueFrom(await index.putFile({ id, name: 'a', bytes: 5 }, 2 * HOUR_MS));
  await alarmAt(HOUR_MS);
  expect(await index.findFile(id)).toMatchObject({ bytes: 5 });
  expect((await JOB_FILES.head(key))?.size).toBe(5);
  expect(await index.reserveFile()).toHaveProperty('value');
});

it('counts uploads that are under way among what is stored', async () => {
  const note = (id: string, bytes: number) => index.noteUpload({ key: 'a', id, bytes });
  await storeFile(MAX_STORED_BYTES - 10);
  valueFrom(await note('one', 4));
  valueFrom(await note('one', 9));
  expect(await note('two', 2)).toMatchObject({ problem: { type: '/problems/storage-full' } });
  await index.endUpload('one');
  valueFrom(await note('two', 2));
});

it('deletes the lines of a job whose creation was stopped', async () => {
  const owner = await runInDurableObject(index, async (_, { id }) => id.toString());
  const id = 'f'.repeat(96);
  const room = ROOM_OF.key;
  valueFrom(
    await index.addJob({ id, kind: 'job', createdAt: 1, deleteAt: Date.now() + HOUR_MS }, room),
  );
  await JOB_FILES.put(inputKey(owner, id), '{}');
  await alarmAt(HOUR_MS + 1);
  expect(await JOB_FILES.head(inputKey(owner, id))).toBeNull();
});
