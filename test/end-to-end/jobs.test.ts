/** Jobs at a whole service, over HTTP: created in every way, watched, read, and refused. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';

const CAPTION = 'a pizza above an octopus on a gray background';

let stack: Stack;
/** A caption of it is cached, and so is an answer. */
let image: string;
beforeAll(async () => {
  stack = await startStack({ jobs: true });
  const path = fileURLToPath(new URL('../scenes/pair-noto-00.webp', import.meta.url));
  image = `data:image/webp;base64,${(await readFile(path)).toString('base64')}`;
  await post('/v1/captions', { image });
  await post('/v1/answers', { image, question: 'what is above the octopus?' });
});
afterAll(() => stack?.stop());

const send = (path: string, init?: RequestInit) => fetch(`${stack.url}${path}`, init);
const post = (path: string, body: object, headers: Record<string, string> = {}) =>
  send(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

type Job = {
  id: string;
  status: string;
  items: { total: number; completed: number; failed: number; canceled: number };
  errors: { line: number; code: string; param: string | null }[];
};

async function created(response: Promise<Response>): Promise<Job> {
  const reply = await response;
  expect(reply.status).toBe(202);
  const job = (await reply.json()) as Job;
  expect(reply.headers.get('location')).toBe(`/v1/jobs/${job.id}`);
  return job;
}

/** The job when it has ended, by its events. */
async function ended({ id }: Job): Promise<Job> {
  const events = await (await send(`/v1/jobs/${id}/events`)).text();
  const [, last = ''] = /^event: done\ndata: (.*)$/m.exec(events) ?? [];
  return JSON.parse(last) as Job;
}

async function linesOf({ id }: Job, query = ''): Promise<Record<string, unknown>[]> {
  const text = await (await send(`/v1/jobs/${id}/results${query}`)).text();
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

const native = (lines: readonly object[]) => lines.map((line) => JSON.stringify(line)).join('\n');

describe('a job', () => {
  it('is created of a list, watched to its end, and its results are read in order', async () => {
    const job = await created(
      post('/v1/jobs', {
        task: 'caption',
        items: [{ id: 'one', image }, { image: 'no image at all' }, { id: 'three', image }],
        metadata: { album: '17' },
      }),
    );
    const done = await ended(job);
    expect(done).toMatchObject({
      id: job.id,
      task: 'caption',
      status: 'completed',
      items: { total: 3, completed: 2, failed: 1, canceled: 0 },
      metadata: { album: '17' },
    });
    expect(await linesOf(job)).toMatchObject([
      { id: 'one', cursor: '0:0', status: 200, result: { caption: CAPTION }, error: null },
      { id: '1', cursor: '0:1', status: 400, result: null, error: { code: 'invalid-image' } },
      { id: 'three', cursor: '0:2', status: 200, result: { caption: CAPTION } },
    ]);
    expect((await linesOf(job, '?status=failed')).map(({ id }) => id)).toEqual(['1']);
    expect((await linesOf(job, '?cursor=0:0')).map(({ id }) => id)).toEqual(['1', 'three']);
    expect(await linesOf(job, '?cursor=0:2')).toEqual([]);
    const listed = (await (await send('/v1/jobs?limit=1')).json()) as { data: Job[] };
    expect(listed.data.map(({ id }) => id)).toEqual([job.id]);
  });

  it('is run again for its failed items alone, with their images', async () => {
    const job = await created(
      post('/v1/jobs', {
        task: 'caption',
        // Where stored, an image is no longer in its item.
        items: [
          { id: 'good', image },
          { id: 'bad', image, prompt: 'x '.repeat(2000) },
          { image: 'bad' },
        ],
      }),
    );
    expect(await ended(job)).toMatchObject({ items: { completed: 1, failed: 2 } });
    const again = await created(post(`/v1/jobs/${job.id}/retry-failed`, {}));
    expect(again).toMatchObject({ retry_of: job.id, task: 'caption' });
    expect(await ended(again)).toMatchObject({
      status: 'completed',
      items: { total: 2, completed: 0, failed: 2 },
    });
    expect(await linesOf(again)).toMatchObject([
      { id: 'bad', error: { code: 'prompt-too-long' } },
      { id: '2', error: { code: 'invalid-image' } },
    ]);
  });

  it('has results as a table, with an etag, and in ranges', async () => {
    const job = await created(post('/v1/jobs', { task: 'caption', items: [{ id: 'a', image }] }));
    await ended(job);
    const path = `/v1/jobs/${job.id}/results`;
    const table = await send(path, { headers: { accept: 'text/csv' } });
    expect(table.headers.get('content-type')).toContain('text/csv');
    expect(await table.text()).toBe(
      `id,cursor,status,caption,error,warnings\r\na,0:0,200,${CAPTION},,\r\n`,
    );
    const whole = await send(path);
    const text = await whole.text();
    const etag = whole.headers.get('etag') ?? '';
    expect((await send(path, { headers: { 'if-none-match': etag } })).status).toBe(304);
    const part = await send(path, { headers: { range: 'bytes=10-19', 'if-range': etag } });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 10-19/${text.length}`);
    expect(await part.text()).toBe(text.slice(10, 20));
    expect((await send(path, { headers: { range: 'bytes=0-9', 'if-range': '"x"' } })).status).toBe(
      200,
    );
    const behind = await send(path, { headers: { range: `bytes=${text.length}-` } });
    expect(behind.status).toBe(416);
  });

  it('takes settings for all items, which an item’s own members win over', async () => {
    const job = await created(
      post('/v1/jobs', {
        task: 'answer',
        settings: { question: 'what was never asked?' },
        items: [{ image, question: 'what is above the octopus?' }],
      }),
    );
    expect(await ended(job)).toMatchObject({ items: { completed: 1 } });
    expect(await linesOf(job)).toMatchObject([{ result: { answer: 'a pizza' } }]);
  });

  it('is created of JSON lines, as the body and as a file', async () => {
    const lines = native([
      { id: 'a', image },
      { id: 'b', image },
    ]);
    const ofBody = created(
      send('/v1/jobs?task=caption', {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: `${lines}\n\n`,
      }),
    );
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set('file', new File([lines], 'items.jsonl'));
    const uploaded = await send('/v1/files', { method: 'POST', body: form });
    const { id: file_id } = (await uploaded.json()) as { id: string };
    const ofFile = created(post('/v1/jobs', { task: 'caption', input: { file_id } }));
    for (const job of [await ofBody, await ofFile]) {
      expect(await ended(job)).toMatchObject({ status: 'completed', items: { completed: 2 } });
      expect((await linesOf(job)).map(({ id }) => id)).toEqual(['a', 'b']);
    }
  });

  it('fails before anything runs where lines are wrong, and names them', async () => {
    const body = [
      JSON.stringify({ id: 'a', image }),
      '{',
      '[]',
      JSON.stringify({ id: 'a', image }),
    ];
    const job = await created(
      send('/v1/jobs?task=caption', {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: body.join('\n'),
      }),
    );
    const failed = await ended(job);
    expect(failed).toMatchObject({ status: 'failed', items: { total: 0, completed: 0 } });
    expect(failed.errors.map(({ line }) => line).toSorted()).toEqual([2, 3, 4]);
    const results = await send(`/v1/jobs/${job.id}/results`);
    expect(results.status).toBe(409);
    expect(await results.json()).toMatchObject({ type: '/problems/job-not-ready' });
    expect((await post(`/v1/jobs/${job.id}/retry-failed`, {})).status).toBe(409);
  });

  it('is the same one for the same Idempotency-Key', async () => {
    const body = { task: 'caption', items: [{ image }] };
    const key = { 'idempotency-key': crypto.randomUUID() };
    const [first, second] = [await post('/v1/jobs', body, key), await post('/v1/jobs', body, key)];
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect(await second.json()).toEqual(await first.json());
    const other = await post('/v1/jobs', { ...body, task: 'match' }, key);
    expect([400, 422]).toContain(other.status);
  });

  it.each(['', '/events', '/results', '/deliveries'])(
    'that is none is not found: %s',
    async (what) => {
      for (const id of ['job_none', `job_${'0'.repeat(96)}`, `batch_${'0'.repeat(96)}`]) {
        expect((await send(`/v1/jobs/${id}${what}`)).status).toBe(404);
      }
    },
  );
});
