import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Env } from '../../platform.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import { startEdge, type TestEdge } from '../../testing/edge.ts';
import { caption, frames, TestJob } from '../../testing/jobs.ts';
import { storeKey } from '../../testing/keys.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

type Shown = { id: string; status: string; items: Record<string, number>; retry_of: string | null };
const { JOBS } = env as unknown as Required<Env>;

function jobOf(shownId: string): TestJob {
  const id = shownId.slice('job_'.length);
  const object = objectIdOf(JOBS, id);
  if (object === null) throw new Error(`${shownId} is no id`);
  return new TestJob(id, object);
}

const url = (name: string) => ({ image: { url: `https://images.example.org/${name}.png` } });

async function created(items: readonly object[], headers = {}): Promise<TestJob> {
  const reply = await edge.post('/v1/jobs', { task: 'caption', items }, headers);
  expect(reply.status, await reply.clone().text()).toBe(202);
  const { id } = (await reply.json()) as Shown;
  return jobOf(id);
}

const _read = async (path: string) => (await edge.request(path)).json() as Promise<Shown>;

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
  const watch = () => edge.request(`/v1/jobs/job_${job.id}/events`);
  const open = await Promise.all(Array.from({ length: 32 }, watch));
  expect(open.map(({ status }) => status)).toEqual(open.map(() => 200));
  const refused = await watch();
  expect(await refused.json()).toMatchObject({ status: 429, limit: 32 });
  await Promise.all(open.map(({ body }) => body?.cancel()));
  const again = await watch();
  expect(again.status).toBe(200);
  await again.body?.cancel();
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

describe('tokens of a job', () => {
  type Tokens = { input_tokens: number; output_tokens: number; total_tokens: number };
  type Day = { prompt_tokens: number; completion_tokens: number; images: number };

  it('are in its lines, in the job, and in the use of its key', async () => {
    const headers = await storeKey();
    const job = await created([url('a'), url('b'), { image: { url: 'http://127.0.0.1/' } }], headers);
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
