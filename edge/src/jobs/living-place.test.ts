/** Places of jobs and files whose creation may break off: how long they count, and what becomes of them. */
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Env } from '../platform.ts';
import { valueFrom } from '../predictions/contract.ts';
import { createJob } from '../testing/jobs.ts';
import { inputKey } from './contract.ts';
import { JobBase } from './job.ts';
import type { JobIndex } from './job-index.ts';
import {
  CREATION_MS,
  fileKey,
  MAX_FILES,
  MAX_OPEN_JOBS,
  MAX_STORED_BYTES,
  ROOM_OF,
  SILENT_PLACE_MS,
} from './job-index-contract.ts';
import { RENEWAL_MS, withLivingPlace } from './living-place.ts';

const { JOB_INDEX, JOB_FILES } = env as unknown as {
  JOB_INDEX: DurableObjectNamespace<JobIndex>;
  JOB_FILES: NonNullable<Env['JOB_FILES']>;
};
const HOUR_MS = 3_600_000;

let index: DurableObjectStub<JobIndex>;
beforeEach(() => {
  index = JOB_INDEX.get(JOB_INDEX.newUniqueId());
});
afterEach(() => void vi.useRealTimers());

/** The clock of the objects too. */
const later = (ms: number) => {
  const now = Date.now() + ms;
  vi.useRealTimers();
  vi.useFakeTimers({ now, toFake: ['Date'] });
};

const addJob = (id: string, room = ROOM_OF.key) => {
  const times = { createdAt: Date.now(), deleteAt: Date.now() + 24 * HOUR_MS };
  return index.addJob({ id, kind: 'job', ...times }, room);
};
const FULL = { problem: { type: '/problems/storage-full' } };

async function fill(): Promise<void> {
  for (let i = 0; i < MAX_OPEN_JOBS; i++) valueFrom(await addJob(`job ${i}`));
  expect(await addJob('beyond')).toMatchObject(FULL);
}

const rows = () =>
  runInDurableObject(index, (_, { storage }) =>
    storage.sql
      .exec<{ id: string }>('SELECT id FROM jobs ORDER BY number')
      .toArray()
      .map(({ id }) => id),
  );

async function listed(): Promise<string[] | undefined> {
  const page = await index.listJobs('job', { after: null, limit: 100, oldestFirst: true });
  return page?.entries.map(({ id }) => id);
}

it('makes room of places whose uploads say nothing any more, and none of others', async () => {
  await fill();
  later(SILENT_PLACE_MS / 2);
  for (let i = 1; i < MAX_OPEN_JOBS; i++) await index.renewJob(`job ${i}`);
  later(SILENT_PLACE_MS / 2);
  valueFrom(await addJob('next'));
  expect(await addJob('beyond')).toMatchObject(FULL);
  expect([await index.hasJob('job 0'), await index.hasJob('job 1')]).toEqual([false, true]);
  // Nor does one that is gone come back.
  await index.renewJob('job 0');
  expect(await index.hasJob('job 0')).toBe(false);
});

it('deletes silent places, and their lines, by its alarm', async () => {
  const owner = await runInDurableObject(index, async (_, { id }) => `${id}`);
  await addJob('silent');
  await addJob('renewed');
  await JOB_FILES.put(inputKey(owner, 'silent'), '{}');
  const at = await runInDurableObject(index, (_, { storage }) => storage.getAlarm());
  expect(at).toBeLessThanOrEqual(Date.now() + SILENT_PLACE_MS);
  later(SILENT_PLACE_MS / 2);
  await index.renewJob('renewed');
  later(SILENT_PLACE_MS / 2);
  await runDurableObjectAlarm(index);
  expect(await rows()).toEqual(['renewed']);
  expect(await JOB_FILES.head(inputKey(owner, 'silent'))).toBeNull();
});

it('leaves a job whose creation is under way, and forgets one that was never created', async () => {
  const created = await createJob([{ image: { url: 'https://images.example.org/a.png' } }]);
  for (const id of [created.id, 'never']) {
    valueFrom(await addJob(id));
    expect(await index.hasJob(id)).toBe(true);
  }
  later(1.9 * CREATION_MS);
  await runDurableObjectAlarm(index);
  expect(await rows()).toEqual([created.id, 'never']);
  later(0.2 * CREATION_MS);
  await runDurableObjectAlarm(index);
  expect(await rows()).toEqual([created.id]);
  // Nobody asks it again.
  expect(
    await runInDurableObject(index, (_, { storage }) =>
      storage.sql.exec('SELECT silent_at, created_by FROM jobs').toArray(),
    ),
  ).toEqual([{ silent_at: null, created_by: null }]);
});

it('deletes others where one job cannot be asked', async () => {
  const asked = await createJob([{ image: { url: 'https://images.example.org/a.png' } }]);
  for (const id of [asked.id, 'never']) {
    valueFrom(await addJob(id));
    await index.hasJob(id);
  }
  const fails = vi.spyOn(JobBase.prototype, 'snapshot').mockRejectedValue(new Error('staged'));
  try {
    later(2.1 * CREATION_MS);
    await runDurableObjectAlarm(index);
  } finally {
    fails.mockRestore();
  }
  expect(await rows()).toEqual([asked.id]);
});

it('counts jobs out whose creation broke off where all places are taken', async () => {
  await fill();
  for (let i = 0; i < MAX_OPEN_JOBS; i++) await index.hasJob(`job ${i}`);
  later(1.9 * CREATION_MS);
  expect(await addJob('beyond')).toMatchObject(FULL);
  later(0.2 * CREATION_MS);
  valueFrom(await addJob('next'));
});

it('lists no job whose lines are still to come', async () => {
  await addJob('coming');
  await addJob('stored');
  await index.hasJob('stored');
  expect(await listed()).toEqual(['stored']);
});

it('has places of files as long as their uploads say so', async () => {
  const [silent, renewed] = [
    valueFrom(await index.reserveFile()).id,
    valueFrom(await index.reserveFile()).id,
  ];
  await JOB_FILES.put(fileKey(silent), '{}');
  later(SILENT_PLACE_MS / 2);
  await index.renewFile(renewed);
  later(SILENT_PLACE_MS / 2);
  const late = await index.putFile({ id: silent, name: 'a', bytes: 2 }, HOUR_MS);
  expect(late).toMatchObject({ problem: { type: '/problems/deadline-exceeded' } });
  expect(await JOB_FILES.head(fileKey(silent))).toBeNull();
  valueFrom(await index.putFile({ id: renewed, name: 'a', bytes: 2 }, HOUR_MS));
  // It is a place no more.
  await index.renewFile(renewed);
  later(2 * SILENT_PLACE_MS);
  expect(await index.findFile(renewed)).toMatchObject({ id: renewed });
});

it('has room again for files when those that never came are silent', async () => {
  for (let i = 0; i < MAX_FILES; i++) valueFrom(await index.reserveFile());
  expect(await index.reserveFile()).toMatchObject(FULL);
  later(SILENT_PLACE_MS);
  valueFrom(await index.reserveFile());
});

/** A file that is complete. */
async function storeFile(bytes = 1): Promise<string> {
  const { id } = valueFrom(await index.reserveFile('delete'));
  valueFrom(await index.putFile({ id, name: 'a', bytes }, 24 * HOUR_MS, 'delete'));
  return id;
}

it('makes room of the oldest files that no job reads, and that are an hour old, where it may', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push(await storeFile());
  const times = { createdAt: Date.now(), deleteAt: Date.now() + 24 * HOUR_MS };
  const batch = { id: 'batch', kind: 'batch', ...times, reads: `${ids[0]}` } as const;
  valueFrom(await index.addJob(batch, ROOM_OF.all));
  await index.noteResults('batch', { bytes: 0, hasEnded: false });
  for (let i = 3; i < MAX_FILES; i++) valueFrom(await index.reserveFile('delete'));
  expect(await index.reserveFile('delete')).toMatchObject(FULL);
  const others = await runInDurableObject(index, (_, { storage }) => {
    storage.sql.exec(
      'UPDATE files SET expires_at = ? WHERE record IS NULL',
      Date.now() + HOUR_MS * 2,
    );
    return storage.sql.exec('SELECT 1 FROM files WHERE record IS NULL').toArray().length;
  });
  expect(others).toBe(MAX_FILES - 3);
  later(HOUR_MS);
  // With a key nothing is deleted.
  expect(await index.reserveFile('refuse')).toMatchObject(FULL);
  valueFrom(await index.reserveFile('delete'));
  const left = async () => {
    const found = await Promise.all(ids.map((id) => index.findFile(id)));
    return found.map((file) => file !== null);
  };
  expect(await left()).toEqual([true, false, true]);
  valueFrom(await index.reserveFile('delete'));
  expect(await left()).toEqual([true, false, false]);
  expect(await index.reserveFile('delete')).toMatchObject(FULL);
  await index.noteResults('batch', { bytes: 0, hasEnded: true });
  valueFrom(await index.reserveFile('delete'));
  expect(await left()).toEqual([false, false, false]);
});

it('makes room for bytes, of parts that come too', async () => {
  const ids = [await storeFile(MAX_STORED_BYTES / 2), await storeFile(MAX_STORED_BYTES / 2 - 10)];
  later(HOUR_MS);
  const part = { key: 'a', id: 'upload' };
  valueFrom(await index.noteUpload({ ...part, bytes: 9 }, 'delete'));
  expect(await index.findFile(`${ids[0]}`)).not.toBeNull();
  expect(await index.noteUpload({ ...part, bytes: 11 })).toMatchObject(FULL);
  valueFrom(await index.noteUpload({ ...part, bytes: 11 }, 'delete'));
  expect(await index.findFile(`${ids[0]}`)).toBeNull();
  expect(await index.findFile(`${ids[1]}`)).not.toBeNull();
});

it('says every few seconds that a place is needed, while something is uploaded, and for an hour at most', async () => {
  vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] });
  let renewals = 0;
  const work = Promise.withResolvers<string>();
  const renew = async () => {
    renewals++;
    throw new Error('not now');
  };
  const result = withLivingPlace(renew, () => work.promise);
  vi.advanceTimersByTime(3 * RENEWAL_MS);
  expect(renewals).toBe(3);
  work.resolve('stored');
  expect(await result).toBe('stored');
  vi.advanceTimersByTime(3 * RENEWAL_MS);
  expect(renewals).toBe(3);
  withLivingPlace(renew, () => new Promise(() => {}));
  vi.advanceTimersByTime(2 * HOUR_MS);
  expect(renewals).toBe(3 + HOUR_MS / RENEWAL_MS - 1);
  vi.advanceTimersByTime(2 * HOUR_MS);
  expect(renewals).toBe(3 + HOUR_MS / RENEWAL_MS - 1);
});
