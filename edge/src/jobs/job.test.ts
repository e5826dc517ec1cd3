/** A job from its lines to its results: real objects, bucket and queue. */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { commitPath, type ItemOutcome } from '@blip2/shared/jobs/commit';
import { expect, test, vi } from 'vitest';
import { newId } from '../predictions/ids.ts';
import {
  bucket,
  caption,
  captioned,
  createJob,
  failed,
  orderOf,
  remove,
  signed,
  TestJob,
} from '../testing/jobs.ts';
import { generative } from '../testing/models.ts';
import type { JobObject, JobPartObject } from './contract.ts';
import { CREATION_MS } from './job-index-contract.ts';

const line = (custom_id: string, body: object = {}) => ({
  custom_id,
  method: 'POST',
  url: '/v1/captions',
  body: { image: { url: `https://images.example.org/${custom_id}.png` }, ...body },
});

test('a job has one result for each of its lines, in their order', async () => {
  const job = await createJob(Array.from({ length: 120 }, (_, i) => line(`item-${i}`)));
  const ended = await job.run(caption);
  expect(ended.errors).toEqual([]);
  expect(ended.state).toBe('completed');
  expect(ended.counts).toEqual({ total: 120, completed: 120, failed: 0, canceled: 0 });
  expect(ended.parts).toBe(3);
  const results = await job.results();
  expect(results.map(({ custom_id }) => custom_id)).toEqual(
    Array.from({ length: 120 }, (_, i) => `item-${i}`),
  );
  expect(results[51]).toMatchObject({
    part: 1,
    item: 1,
    outcome: 'completed',
    status: 200,
    body: { caption: 'item 1/1', image: { sha256: 'a'.repeat(64), width: 4, height: 3 } },
  });
}, 60_000);

test('a creation that comes when the place of its job may be gone creates nothing', async () => {
  const { JOBS } = env as unknown as { JOBS: DurableObjectNamespace };
  const object = JOBS.newUniqueId();
  const { id, stub } = new TestJob(newId(object), object);
  const created = stub as unknown as JobObject;
  const refused = await created.create(id, orderOf('nobody', 'none'), Date.now() - CREATION_MS);
  expect(refused).toMatchObject({ problem: { type: '/problems/deadline-exceeded' } });
  expect(await created.snapshot(id)).toBeNull();
});

test('no more parts run at a time than may, and the next begins when one has ended', async () => {
  const job = await createJob(Array.from({ length: 140 }, (_, i) => line(`item-${i}`)));
  const began = async (part: number) =>
    (await (job.part(part) as unknown as JobPartObject).report()) !== null;
  const running = () => Promise.all([0, 1, 2].map(began));
  await job.until('in_progress');
  await vi.waitFor(async () => expect(await running()).toEqual([true, true, false]), 10_000);
  const ended = await job.run(async (message) => {
    if (message.part < 2) return caption(message);
    // Of three parts, one at least has ended.
    const reports = await Promise.all(
      [0, 1].map((part) => (job.part(part) as unknown as JobPartObject).report()),
    );
    expect(reports.some((report) => report?.isClosed === true)).toBe(true);
    return caption(message);
  });
  expect(ended.counts).toEqual({ total: 140, completed: 140, failed: 0, canceled: 0 });
}, 60_000);

test('commits in any order, twice and for nothing store one result of each item, the first', async () => {
  const job = await createJob(Array.from({ length: 40 }, (_, i) => line(`item-${i}`)));
  await job.until('in_progress');
  const seen = new Set<number>();
  const ended = await job.run(async (message) => {
    const { item } = message;
    const again = seen.has(item);
    seen.add(item);
    // The first time it is committed, but not deleted: it comes again with another text.
    const reply = await job.commit(0, [
      { item, outcome: captioned(again ? ' later' : ` first ${item}`) },
      { item: 39 - item, outcome: captioned(` first ${39 - item}`) },
      { item: 99, outcome: captioned(' no such item') },
    ]);
    expect(reply.fresh + reply.duplicates).toBe(3);
    return again ? captioned(' later') : null;
  });
  expect(ended.counts).toEqual({ total: 40, completed: 40, failed: 0, canceled: 0 });
  const results = await job.results();
  expect(results.map(({ custom_id, body }) => [custom_id, body])).toEqual(
    Array.from({ length: 40 }, (_, i) => [
      `item-${i}`,
      expect.objectContaining({ caption: `first ${i}` }),
    ]),
  );
});

test('a message that was lost is sent again', async () => {
  const job = await createJob([line('a'), line('b')]);
  for (const { handle } of await job.receive()) await remove(handle);
  const ended = await job.run(caption);
  expect(ended.counts).toMatchObject({ completed: 2 });
});

test('a job goes on when its objects are gone in the middle', async () => {
  const job = await createJob(Array.from({ length: 110 }, (_, i) => line(`item-${i}`)));
  let committed = 0;
  const ended = await job.run(async (message) => {
    if (++committed % 30 === 0) {
      await kill(job.part(message.part));
      await kill(job.stub);
    }
    return caption(message);
  });
  expect(committed).toBeGreaterThanOrEqual(110);
  expect(ended.counts).toEqual({ total: 110, completed: 110, failed: 0, canceled: 0 });
  expect(new Set((await job.results()).map(({ custom_id }) => custom_id)).size).toBe(110);
}, 60_000);

test('what has not ended when a job is canceled is a line of its own', async () => {
  const job = await createJob(Array.from({ length: 90 }, (_, i) => line(`item-${i}`)));
  let committed = 0;
  const ended = await job.run(async (message) => {
    if (++committed === 20) await job.cancel();
    return committed > 20 ? null : caption(message);
  });
  expect(ended.state).toBe('cancelled');
  expect(ended.counts).toEqual({ total: 90, completed: 20, failed: 0, canceled: 70 });
  const results = await job.results();
  expect(results.map(({ custom_id }) => custom_id)).toEqual(
    Array.from({ length: 90 }, (_, i) => `item-${i}`),
  );
  const canceled = results.filter(({ outcome }) => outcome === 'canceled');
  expect(canceled).toHaveLength(70);
  expect(canceled[0]).toMatchObject({
    status: null,
    body: null,
    error: { code: 'batch_cancelled' },
  });
  // Workers that had one of them hear that the rest need not be run.
  const reply = await job.commit(0, [{ item: 0, outcome: captioned(' late') }]);
  expect(reply).toEqual({ fresh: 0, duplicates: 1, state: 'ended' });
}, 60_000);

test('what has not ended when a job expires is a line of its own', async () => {
  const job = await createJob([line('a'), line('b')], { expiresAt: Date.now() + 1500 });
  const ended = await job.until('expired');
  expect(ended.counts).toEqual({ total: 2, completed: 0, failed: 0, canceled: 2 });
  const [first] = await job.results();
  expect(first).toMatchObject({ outcome: 'expired', error: { code: 'batch_expired' } });
});

test('an item that ends its workers, and one that they refuse, fail alone', async () => {
  const job = await createJob([line('poison'), line('broken'), line('good'), line('garbled')]);
  const outcomes: Record<number, ItemOutcome> = {
    0: { kind: 'gave-up', receives: 12 },
    1: failed('invalid-image', 'The image cannot be decoded.'),
    3: { kind: 'frames', frames: 'AAAA' },
  };
  const ended = await job.run(
    async (message) => outcomes[message.item] ?? (await caption(message)),
  );
  expect(ended.state).toBe('completed');
  expect(ended.counts).toEqual({ total: 4, completed: 1, failed: 3, canceled: 0 });
  expect(await job.results({ which: 'failed' })).toMatchObject([
    { custom_id: 'poison', status: null, body: null, error: { code: 'gave-up' } },
    {
      custom_id: 'broken',
      status: 400,
      body: { type: '/problems/invalid-image', detail: 'The image cannot be decoded.' },
      error: null,
    },
    { custom_id: 'garbled', status: 502, body: { type: '/problems/bad-gateway' } },
  ]);
});

test('results can be read while the job runs, up to the first item that has not ended', async () => {
  const job = await createJob(Array.from({ length: 60 }, (_, i) => line(`item-${i}`)));
  const snapshot = await job.until('in_progress');
  expect(snapshot.counts).toEqual({ total: 60, completed: 0, failed: 0, canceled: 0 });
  const names = async (query: Parameters<typeof job.results>[0]) =>
    (await job.results(query)).map(({ custom_id }) => custom_id);
  const [first] = await job.receive();
  expect(first?.message.job).toBe(job.id);
  await job.commit(
    0,
    [0, 1, 3].map((item) => ({ item, outcome: captioned(' early') })),
  );
  expect(await names({})).toEqual(['item-0', 'item-1']);
  expect(await names({ overGaps: true })).toEqual(['item-0', 'item-1', 'item-3']);
  expect(await names({ from: { part: 0, item: 1 } })).toEqual(['item-1']);
  await job.run();
  expect(await names({ from: { part: 0, item: 48 }, which: 'completed' })).toEqual(
    Array.from({ length: 12 }, (_, i) => `item-${48 + i}`),
  );
  expect(await names({ which: 'failed' })).toEqual([]);
});

test('of a job that was deleted nothing is left', async () => {
  const job = await createJob([line('a')]);
  const stub = job.stub as unknown as JobObject;
  expect(await stub.forget(job.id)).toBe(false);
  const { order } = await job.run();
  expect(await stub.forget(job.id)).toBe(true);
  expect(await stub.snapshot(job.id)).toBeNull();
  const { objects } = await bucket.list({ prefix: `${order.owner}/jobs/` });
  expect(objects).toEqual([]);
  const path = commitPath(job.id, 0);
  const late = await signed('POST', path, {
    results: [{ item: 0, outcome: captioned(' late') }],
  });
  expect(late.status).toBe(410);
});

test('an item that was made for a model which is not served any more is made anew', async () => {
  const job = await createJob([line('a'), line('b')]);
  await job.receive();
  // As it is after a deployment with another model.
  await runInDurableObject(job.part(0), (_, { storage }) => {
    storage.sql.exec(`UPDATE open SET work = replace(work, '${generative.revision}', 'former')`);
  });
  const of = (item: number, outcome: ItemOutcome) => job.commit(0, [{ item, outcome }]);
  expect(await of(0, captioned(' of former tokens'))).toMatchObject({ fresh: 0, duplicates: 1 });
  expect(await of(1, { kind: 'gave-up', receives: 12 })).toMatchObject({ fresh: 0 });
  await job.run(({ revision, item }) => {
    expect(revision).toBe(generative.revision);
    return captioned(` new ${item}`);
  });
  expect(await job.results()).toMatchObject([
    { body: { caption: 'new 0' } },
    { body: { caption: 'new 1' } },
  ]);
});

test('what is canceled while it is read was never run', async () => {
  const job = await createJob(Array.from({ length: 500 }, (_, i) => line(`item-${i}`)));
  await job.cancel();
  const { state, counts } = await job.until('cancelled');
  expect([state, counts.total]).toEqual(['cancelled', 0]);
  expect(await job.results()).toEqual([]);
});

/** Ends an object whatever it is doing. */
async function kill(stub: DurableObjectStub): Promise<void> {
  await runInDurableObject(stub, (_, state) => state.abort('killed')).catch(() => {});
}
