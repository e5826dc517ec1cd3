import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobObject } from '../../jobs/contract.ts';
import { JobIndex } from '../../jobs/job-index.ts';
import { type JobIndexObject, ROOM_OF } from '../../jobs/job-index-contract.ts';
import type { Env } from '../../platform.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import { newImage, startEdge, type TestEdge, testEnv } from '../../testing/edge.ts';
import { bucket, caption, createJob, failed, frames, TestJob } from '../../testing/jobs.ts';
import { storeKey } from '../../testing/keys.ts';
import { bulkReads } from '../../turns/bulk-reads.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

type Shown = { id: string; status: string; items: Record<string, number>; retry_of: string | null };
const { JOBS, JOB_INDEX } = env as unknown as Required<Env>;

function jobOf(shownId: string): TestJob {
  const id = shownId.slice('job_'.length);
  const object = objectIdOf(JOBS, id);
  if (object === null) throw new Error(`${shownId} is no id`);
  return new TestJob(id, object);
}

/** The object that lists the jobs of a tenant. */
function ownIndex(namespace: string): JobIndexObject {
  const id = JOB_INDEX.idFromName(`namespace/${namespace}`);
  return JOB_INDEX.get(id) as unknown as JobIndexObject;
}

const url = (name: string) => ({ image: { url: `https://images.example.org/${name}.png` } });

async function created(items: readonly object[], headers = {}): Promise<TestJob> {
  const reply = await edge.post('/v1/jobs', { task: 'caption', items }, headers);
  expect(reply.status, await reply.clone().text()).toBe(202);
  const { id } = (await reply.json()) as Shown;
  return jobOf(id);
}

async function results(job: TestJob, query = ''): Promise<{ id: string; cursor: string }[]> {
  const reply = await edge.request(`/v1/jobs/job_${job.id}/results${query}`);
  const text = await reply.text();
  expect(reply.status, text).toBe(200);
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

describe('results of a job that runs', () => {
  it('are those that are there, up to the first that is not, or all that are', async () => {
    const job = await created([url('a'), url('b'), url('c')]);
    // Then its items are known to the part.
    await job.receive();
    const outcome = (await caption({ part: 0, item: 0 } as never)) as never;
    await job.commit(0, [{ item: 2, outcome }]);
    expect(await results(job)).toEqual([]);
    expect((await results(job, '?gaps=true')).map(({ cursor }) => cursor)).toEqual(['0:2']);
    await job.commit(0, [{ item: 0, outcome }]);
    const first = await results(job);
    expect(first.map(({ cursor }) => cursor)).toEqual(['0:0']);
    await job.commit(0, [{ item: 1, outcome }]);
    await job.until('completed');
    const rest = await results(job, `?cursor=${first.at(-1)?.cursor}`);
    expect(rest.map(({ cursor }) => cursor)).toEqual(['0:1', '0:2']);
  });
});

it('a client watches so many jobs at a time, and may watch again where it has left', async () => {
  const job = await created([url('a')]);
  const watch = (address?: string) => {
    const headers = address === undefined ? {} : { 'cf-connecting-ip': address };
    return edge.request(`/v1/jobs/job_${job.id}/events`, { headers });
  };
  const named = () => watch('203.0.113.77');
  const open = await Promise.all(Array.from({ length: 32 }, named));
  expect(open.map(({ status }) => status)).toEqual(open.map(() => 200));
  const refused = await named();
  expect(await refused.json()).toMatchObject({
    ...{ status: 429, limit: 32 },
    detail: expect.stringContaining('This client watches 32 jobs: end one of these streams'),
  });
  await Promise.all(open.map(({ body }) => body?.cancel()));
  const again = await named();
  expect(again.status).toBe(200);
  await again.body?.cancel();
  // They may be many people.
  const unnamed = await Promise.all(Array.from({ length: 40 }, () => watch()));
  expect(new Set(unnamed.map(({ status }) => status))).toEqual(new Set([200]));
  await Promise.all(unnamed.map(({ body }) => body?.cancel()));
});

it('a job is another key’s business, and its tenant’s own', async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  const mine = await storeKey({ namespace: 'jobs-test' });
  const colleague = await storeKey({ namespace: 'jobs-test' });
  const other = await storeKey();
  const job = await created([url('a')], mine);
  const path = `/v1/jobs/job_${job.id}`;
  const statusOf = async (what: string, init: RequestInit) =>
    (await edge.request(`${path}${what}`, init)).status;
  for (const what of ['', '/results', '/events', '/deliveries']) {
    expect(await statusOf(what, { headers: other }), what).toBe(404);
  }
  expect(await statusOf('', { method: 'DELETE', headers: other })).toBe(404);
  expect(await statusOf('/retry-failed', { method: 'POST', headers: other })).toBe(404);
  expect(await statusOf('', { headers: colleague })).toBe(200);
  const list = async (headers: Record<string, string>) =>
    ((await (await edge.request('/v1/jobs', { headers })).json()) as { data: Shown[] }).data;
  expect((await list(colleague)).map(({ id }) => id)).toEqual([`job_${job.id}`]);
  expect(await list(other)).toEqual([]);
  const narrow = await storeKey({ scopes: ['openai'] });
  expect(await statusOf('', { headers: narrow })).toBe(403);
});

it('a page of jobs ends where it is long, and the next goes on behind it', async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  const mine = await storeKey();
  const names = Array.from({ length: 16 }, (_, n) => [`${n}`, '\u0001'.repeat(512)]);
  const body = { task: 'caption', items: [url('a')], metadata: Object.fromEntries(names) };
  const ids: string[] = [];
  for (let n = 0; n < 9; n++) {
    const reply = await edge.post('/v1/jobs', body, mine);
    ids.unshift(((await reply.json()) as Shown).id);
    await jobOf(ids[0] ?? '').cancel();
  }
  type Page = { data: Shown[]; has_more: boolean };
  const found: string[][] = [];
  for (let after = '', isMore = true; isMore; ) {
    const reply = await edge.request(`/v1/jobs?limit=100${after}`, { headers: mine });
    const page = (await reply.json()) as Page;
    found.push(page.data.map(({ id }) => id));
    after = `&after=${page.data.at(-1)?.id}`;
    isMore = page.has_more;
  }
  expect(found.flat()).toEqual(ids);
  expect(found.map(({ length }) => length)).toEqual([4, 4, 1]);
});

it('a page that is large counts among the bodies of its client until it is read', async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '', MAX_HELD_BYTES: '300000' } });
  const mine = await storeKey();
  const names = Array.from({ length: 16 }, (_, n) => [`${n}`, '\u0001'.repeat(512)]);
  const body = { task: 'caption', items: [url('a')], metadata: Object.fromEntries(names) };
  for (let n = 0; n < 4; n++) await edge.post('/v1/jobs', body, mine);
  const [first, second] = [
    await edge.request('/v1/jobs', { headers: mine }),
    await edge.request('/v1/jobs', { headers: mine }),
  ];
  expect([first.status, second.status]).toEqual([200, 429]);
  expect(((await first.json()) as { data: Shown[] }).data).toHaveLength(4);
});

it('a list asks each of its jobs in a turn of its client', async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  const mine = await storeKey({ namespace: crypto.randomUUID().replaceAll('-', '') });
  for (const name of ['a', 'b', 'c']) {
    await edge.post('/v1/jobs', { task: 'caption', items: [url(name)] }, mine);
  }
  const turns = vi.spyOn(bulkReads, 'run');
  try {
    const page = await edge.request('/v1/jobs', { headers: mine });
    expect(((await page.json()) as { data: unknown[] }).data).toHaveLength(3);
    expect(turns).toHaveBeenCalledTimes(3);
  } finally {
    turns.mockRestore();
  }
});

it('a list goes on behind jobs that were never created', async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  const namespace = crypto.randomUUID().replaceAll('-', '');
  const mine = await storeKey({ namespace });
  const reply = await edge.post('/v1/jobs', { task: 'caption', items: [url('a')] }, mine);
  const { id } = (await reply.json()) as Shown;
  const index = ownIndex(namespace);
  for (let n = 0; n < 5; n++) {
    const [createdAt, deleteAt] = [Date.now(), Date.now() + 3_600_000];
    await index.addJob({ id: `${n}`, kind: 'job', createdAt, deleteAt }, ROOM_OF.key);
    await index.hasJob(`${n}`);
  }
  const page = await edge.request('/v1/jobs?limit=2', { headers: mine });
  expect(await page.json()).toMatchObject({ data: [{ id }], last_id: id, has_more: false });
});

it('images of the operator are found again when their job is tried again, however often', async () => {
  const album = `again-${crypto.randomUUID()}`;
  await testEnv.JOB_IMAGES?.put(`${album}/a.png`, newImage());
  const retry = async ({ id }: TestJob) => {
    const reply = await edge.request(`/v1/jobs/job_${id}/retry-failed`, { method: 'POST' });
    expect(reply.status, await reply.clone().text()).toBe(202);
    return jobOf(((await reply.json()) as Shown).id);
  };
  const owner = JOB_INDEX.newUniqueId().toString();
  const input = { kind: 'prefix', prefix: `${album}/` } as const;
  let job = await createJob([], { kind: 'job', owner, input });
  for (let tries = 0; tries < 2; tries++) {
    await job.run(() => failed('invalid-image', 'It is none.'));
    job = await retry(job);
  }
  const [received] = await job.receive();
  expect(received?.message.source).toEqual({ edge: true });
  expect((await job.run()).counts).toMatchObject({ total: 1, completed: 1 });
});

it('a key’s job that is tried again without one has room among those of the key', async () => {
  const line = { custom_id: 'a', method: 'POST', url: '/v1/captions', body: url('a') };
  const owner = JOB_INDEX.newUniqueId().toString();
  const job = await createJob([line], { kind: 'job', owner });
  await job.run(() => failed('invalid-image', 'It is none.'));
  const addJob = vi.spyOn(JobIndex.prototype, 'addJob');
  try {
    let { id } = job;
    for (let tries = 0; tries < 2; tries++) {
      const reply = await edge.request(`/v1/jobs/job_${id}/retry-failed`, { method: 'POST' });
      expect(reply.status, await reply.clone().text()).toBe(202);
      const again = jobOf(((await reply.json()) as Shown).id);
      await again.run(() => failed('invalid-image', 'It is none.'));
      ({ id } = again);
    }
    expect(addJob.mock.calls.map(([, room]) => room)).toEqual([ROOM_OF.key, ROOM_OF.key]);
  } finally {
    addJob.mockRestore();
  }
});

describe('tokens of a job', () => {
  type Tokens = { input_tokens: number; output_tokens: number; total_tokens: number };
  type Day = { prompt_tokens: number; completion_tokens: number; images: number };

  it('are in its lines, in the job, and in the use of its key', async () => {
    edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const headers = await storeKey();
    const job = await created(
      [url('a'), url('b'), { image: { url: 'http://127.0.0.1/' } }],
      headers,
    );
    await job.run(caption);
    const read = async (path: string) => (await edge.request(path, { headers })).json();
    const text = await (await edge.request(`/v1/jobs/job_${job.id}/results`, { headers })).text();
    const lines = text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    const said = lines.flatMap(({ result }) => result?.usage ?? []) as Record<string, number>[];
    const sum = (name: string) => said.reduce((total, usage) => total + (usage[name] ?? 0), 0);
    const [input, output] = [sum('prompt_tokens'), sum('completion_tokens')];
    expect([said.length, input > 0, output > 0]).toEqual([2, true, true]);
    const { usage } = (await read(`/v1/jobs/job_${job.id}`)) as { usage: Tokens };
    expect(usage).toEqual({
      input_tokens: input,
      output_tokens: output,
      total_tokens: input + output,
    });
    const used = { prompt_tokens: input, completion_tokens: output, images: 3 };
    await vi.waitFor(async () => {
      const { days } = (await read('/v1/usage')) as { days: Day[] };
      expect(days).toMatchObject([used]);
    });
  });

  it('are those of the texts that an image is compared with', async () => {
    const reply = await edge.post('/v1/jobs', {
      task: 'match',
      settings: { texts: ['a pizza', 'a wide river'] },
      items: [url('a')],
    });
    const job = jobOf(((await reply.json()) as Shown).id);
    const score = { itm: 0.5, itc: 0.25 };
    await job.run(() =>
      frames(
        [
          { type: 'imageInfo', image: { width: 4, height: 3, format: 'png' } },
          { type: 'scores', scores: [score, score] },
        ],
        'a'.repeat(64),
      ),
    );
    const { counts, usage } = await job.snapshot();
    expect(counts).toMatchObject({ completed: 1 });
    // Each text has [CLS] and [SEP] beside its words.
    expect(usage).toEqual({ prompt_tokens: expect.any(Number), completion_tokens: 0 });
    expect(usage?.prompt_tokens).toBeGreaterThanOrEqual(2 * 2 + 2 + 3);
  });
});

const objectsOf = async ({ id }: TestJob, owner: string) =>
  (await bucket.list({ prefix: `${owner}/jobs/${id}/` })).objects.map(({ key }) => key);

describe('a job that has ended', () => {
  it('is deleted where that is asked for, with all that was stored of it', async () => {
    edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const headers = await storeKey();
    const png = `data:image/png;base64,${newImage().toBase64()}`;
    const job = await created([{ image: png }, url('b')], headers);
    const path = `/v1/jobs/job_${job.id}`;
    const send = (method: string, query = '') => edge.request(path + query, { method, headers });
    await job.until('in_progress');
    const early = await send('DELETE', '?purge=true');
    expect(await early.json()).toMatchObject({ status: 409, field: 'purge' });
    const { order } = await job.run();
    // Whoever cancels too late loses nothing.
    expect(await (await send('DELETE')).json()).toMatchObject({ status: 'completed' });
    expect((await objectsOf(job, order.owner)).length).toBeGreaterThan(2);
    const deleted = await send('DELETE', '?purge=true');
    expect(await deleted.json()).toEqual({ id: `job_${job.id}`, object: 'job', deleted: true });
    for (const [method, query] of [['GET'], ['DELETE', '?purge=true'], ['DELETE']] as const) {
      expect((await send(method, query)).status).toBe(404);
    }
    expect((await edge.request(`${path}/results`, { headers })).status).toBe(404);
    const list = await edge.request('/v1/jobs', { headers });
    expect(await list.json()).toMatchObject({ data: [] });
    await vi.waitFor(async () => expect(await objectsOf(job, order.owner)).toEqual([]));
  });

  it('is deleted by who may ask for it alone, and unknown parameters are refused', async () => {
    edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const job = await created([url('a')], await storeKey());
    await job.run();
    const path = `/v1/jobs/job_${job.id}?purge`;
    const send = (query: string, headers: HeadersInit) =>
      edge.request(`${path}${query}`, { method: 'DELETE', headers });
    expect((await send('=true', await storeKey())).status).toBe(404);
    expect((await send('=maybe', await storeKey())).status).toBe(400);
    expect((await job.snapshot()).state).toBe('completed');
  });
});

it('a job whose items are those of one that was deleted fails, and says so', async () => {
  const first = await createJob([]);
  const { order } = await first.until('failed');
  const input = { kind: 'failed-of', job: first.id } as const;
  const second = await createJob([], { input, owner: order.owner });
  expect((await second.until('failed')).errors).toMatchObject([{ code: 'job_not_found' }]);
});

describe('files that a batch wrote', () => {
  it('are deleted one by one, and with the last of them all that was stored of its items', async () => {
    const line = (custom_id: string) => ({
      ...{ custom_id, method: 'POST', url: '/v1/captions' },
      body: { image: { url: `https://images.example.org/${custom_id}.png` } },
    });
    const batch = await createJob([line('good'), line('bad')]);
    const { order } = await batch.run((message) =>
      message.item === 1 ? failed('invalid-image', 'It is none.') : caption(message),
    );
    const file = (kind: string, method = 'GET') =>
      edge.request(`/v1/files/file-${batch.id}-${kind}`, { method });
    const deleted = await file('output', 'DELETE');
    expect(await deleted.json()).toMatchObject({ object: 'file', deleted: true });
    expect([(await file('output')).status, (await file('output', 'DELETE')).status]).toEqual([
      404, 404,
    ]);
    expect((await file('errors')).status).toBe(200);
    expect(await objectsOf(batch, order.owner)).not.toEqual([]);
    await (await file('errors', 'DELETE')).text();
    expect((await file('errors')).status).toBe(404);
    await vi.waitFor(async () => expect(await objectsOf(batch, order.owner)).toEqual([]));
    const shown = await edge.request(`/v1/batches/batch_${batch.id}`);
    expect(await shown.json()).toMatchObject({
      status: 'completed',
      request_counts: { total: 2, completed: 1, failed: 1 },
    });
  });
});

describe('the webhook of a job that is tried again', () => {
  const hook = { url: 'https://hooks.example.org/one', events: ['completed'] };
  const secrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'];
  const webhookOf = async (job: TestJob) =>
    await (job.stub as unknown as JobObject).webhook(job.id);
  const retry = (job: TestJob, body?: object) =>
    edge.request(`/v1/jobs/job_${job.id}/retry-failed`, {
      method: 'POST',
      ...(body && { body: JSON.stringify(body) }),
    });

  async function failedJob(): Promise<TestJob> {
    const items = [url('a')];
    const body = { task: 'caption', items, webhook: { ...hook, secrets } };
    const job = jobOf(((await (await edge.post('/v1/jobs', body)).json()) as Shown).id);
    await job.run(() => failed('invalid-image', 'It is none.'));
    return job;
  }

  it('is the same, with its secrets, which nobody sees', async () => {
    const job = await failedJob();
    const reply = await retry(job);
    const shown = (await reply.json()) as Shown & { webhook: object };
    expect([reply.status, shown.webhook]).toEqual([
      202,
      { url: hook.url, events: ['job.completed'] },
    ]);
    const again = await webhookOf(jobOf(shown.id));
    expect(again).toEqual(await webhookOf(job));
    expect(again?.secrets).toEqual(secrets);
  });

  it('is another where one is sent, and its secret is shown once', async () => {
    const job = await failedJob();
    const url = 'https://hooks.example.org/two';
    const reply = await retry(job, { webhook: { url } });
    const { webhook, id } = (await reply.json()) as Shown & { webhook: { secret: string } };
    expect(webhook).toMatchObject({ url, secret: expect.stringMatching(/^whsec_/) });
    expect(await webhookOf(jobOf(id))).toMatchObject({ url, secrets: [webhook.secret] });
    const refused = await retry(job, { webhook: { url: 'http://10.0.0.1/' } });
    expect(await refused.json()).toMatchObject({ status: 400, field: 'webhook.url' });
    expect(await (await retry(job, { hook: url })).json()).toMatchObject({ status: 400 });
  });

  it('is none where null is sent', async () => {
    const reply = await retry(await failedJob(), { webhook: null });
    const shown = (await reply.json()) as Shown & { webhook: object | null };
    expect([reply.status, shown.webhook]).toEqual([202, null]);
    expect(await webhookOf(jobOf(shown.id))).toBeNull();
  });
});
