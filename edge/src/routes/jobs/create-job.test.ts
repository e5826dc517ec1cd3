import zlib from 'node:zlib';
import { MAX_INLINE_ITEMS } from '@blip2/shared/schemas/jobs/request';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { JobBase } from '../../jobs/job.ts';
import { JobIndex } from '../../jobs/job-index.ts';
import { JobListTable } from '../../jobs/job-list-table.ts';
import { base64, newImage, startEdge, type TestEdge } from '../../testing/edge.ts';
import { openingTurns } from './opening-turns.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const image = { sha256: 'a'.repeat(64) };
const create = (body: object) => edge.post('/v1/jobs', body);
const lines = (query: string, body: string, type = 'application/x-ndjson') =>
  edge.request(`/v1/jobs?${query}`, { method: 'POST', headers: { 'content-type': type }, body });

it('what is wrong takes no turn from the jobs of others', async () => {
  const taken = vi.spyOn(openingTurns, 'takeAll').mockResolvedValue();
  const own = vi.spyOn(openingTurns, 'takeOwn').mockResolvedValue();
  try {
    // As HTTP says it of every body that is not sent in chunks.
    const post = (path: string, text: string, type = 'application/json') => {
      const headers = { 'content-type': type, 'content-length': String(text.length) };
      return edge.request(path, { method: 'POST', headers, body: text });
    };
    const refused = [
      await post('/v1/jobs', '{}'),
      await post('/v1/jobs', '{"task":"caption","items":[]}'),
      await post('/v1/jobs?task=caption', '', 'application/x-ndjson'),
      await post('/v1/batches', '{}'),
      await post('/v1/jobs/job_none/retry-failed', '{}'),
    ];
    expect(refused.map(({ status }) => status)).toEqual([400, 400, 400, 400, 404]);
    expect(taken).not.toHaveBeenCalled();
    expect((await create({ task: 'caption', items: [{ image }] })).status).toBe(202);
    expect(taken).toHaveBeenCalledTimes(1);
    expect(own).toHaveBeenCalledTimes(5);
    // Of a compressed one nobody knows what it becomes.
    const body = new Uint8Array(zlib.gzipSync('{}'));
    const headers = {
      'content-type': 'application/json',
      'content-encoding': 'gzip',
      'content-length': String(body.length),
    };
    await edge.request('/v1/jobs', { method: 'POST', headers, body });
    expect(taken).toHaveBeenCalledTimes(2);
  } finally {
    taken.mockRestore();
    own.mockRestore();
  }
});

describe('a job is refused before anything is stored', () => {
  it.each([
    ['no task', { items: [{ image }] }, 'task'],
    ['a task that is none', { task: 'paint', items: [{ image }] }, 'task'],
    ['no items', { task: 'caption' }, 'items'],
    ['an empty list', { task: 'caption', items: [] }, 'items'],
    ['items twice', { task: 'caption', items: [{ image }], input: { prefix: 'a' } }, 'items'],
    [
      'an item without an image',
      { task: 'caption', items: [{ image }, { id: 'b' }] },
      'items.1.image',
    ],
    [
      'two images of one item',
      { task: 'caption', items: [{ image: { ...image, url: 'x' }, extra: 1 }] },
      'items.0.extra',
    ],
    [
      'one id twice',
      { task: 'caption', items: [{ id: 'a', image }, { image }, { id: 'a', image }] },
      'items.2.id',
    ],
    [
      'an id that is another item’s number',
      { task: 'caption', items: [{ image }, { id: '0', image }] },
      'items.1.id',
    ],
    [
      'an option out of its range',
      { task: 'caption', items: [{ image, max_tokens: 0 }] },
      'items.0.max_tokens',
    ],
    [
      'a setting out of its range',
      { task: 'caption', settings: { max_tokens: 0 }, items: [{ image }] },
      'settings.max_tokens',
    ],
    [
      'a setting of another task',
      { task: 'caption', settings: { texts: ['a'] }, items: [{ image }] },
      'settings.texts',
    ],
    [
      'a setting that an object would drop',
      { task: 'caption', settings: JSON.parse('{"__proto__": {}}'), items: [{ image }] },
      'settings.__proto__',
    ],
    ['no question', { task: 'answer', items: [{ image }] }, 'items.0.question'],
    [
      'a stream',
      { task: 'caption', settings: { stream: true }, items: [{ image }] },
      'settings.stream',
    ],
    ['a file that is none', { task: 'caption', input: { file_id: 'file-1' } }, 'input.file_id'],
    [
      'a private webhook',
      { task: 'caption', items: [{ image }], webhook: { url: 'http://10.0.0.1/' } },
      'webhook.url',
    ],
    [
      'a secret that is none',
      {
        task: 'caption',
        items: [{ image }],
        webhook: { url: 'https://a.example/', secrets: ['x'] },
      },
      'webhook.secrets.0',
    ],
    [
      'an expiry of a second',
      { task: 'caption', items: [{ image }], expires_after: 1 },
      'expires_after',
    ],
    [
      'too many members of metadata',
      {
        task: 'caption',
        items: [{ image }],
        metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`m${i}`, ''])),
      },
      'metadata',
    ],
  ])('%s', async (_, body, field) => {
    const refused = await create(body);
    const problem = (await refused.json()) as { field: string; detail: string };
    expect(refused.status, problem.detail).toBeLessThan(500);
    expect(problem.field, problem.detail).toBe(field);
  });

  it.each([
    ['expires_after=1e300', 'expires_after: must be at most 604800.'],
    ['expires_after=1e999', 'expires_after: must be at most 604800.'],
    ['expires_after=-1e300', 'expires_after: must be at least 60.'],
  ])('%s, with the bound of its own', async (query, detail) => {
    const refused = await lines(`task=caption&${query}`, '{"image":"x"}\n');
    expect(await refused.json()).toMatchObject({ status: 400, detail });
  });

  it('a prefix where there is no bucket of images', async () => {
    edge = startEdge({ env: { JOB_IMAGES: undefined as never } });
    const refused = await create({ task: 'caption', input: { prefix: 'a/' } });
    expect(await refused.json()).toMatchObject({ status: 400, field: 'input.prefix' });
  });

  it('more items than a request may have', async () => {
    const items = Array.from({ length: MAX_INLINE_ITEMS + 1 }, () => ({ image: 'x' }));
    const refused = await create({ task: 'caption', items });
    expect(await refused.json()).toMatchObject({ field: 'items' });
  });

  it.each([
    ['no task', '', 'task'],
    [
      'settings that are wrong',
      `task=caption&settings=${encodeURIComponent('{"n":0}')}`,
      'settings.n',
    ],
    [
      'a setting that an object would drop',
      `task=caption&settings=${encodeURIComponent('{"__proto__":{}}')}`,
      'settings.__proto__',
    ],
    ['items in the query', 'task=caption&items=x', 'items'],
  ])('JSON lines with %s', async (_, query, field) => {
    const refused = await lines(query, '{"image":"x"}\n');
    expect(await refused.json()).toMatchObject({ status: 400, field });
  });
});

it('a deployment without a queue says so, and that another try does not help', async () => {
  edge = startEdge({ env: { JOBS_QUEUE_URL: '' } });
  const image = newImage();
  const lasting = { status: 503, retry: 'false' };
  const replies = [
    await create({ task: 'caption', items: [{ image: { data: base64(image) } }] }),
    await create({ task: 'caption', dry_run: true, items: [{ image: 'x' }] }),
    await edge.request('/v1/batches'),
    await edge.request('/v1/jobs'),
  ];
  expect(
    replies.map(({ status, headers }) => ({ status, retry: headers.get('x-should-retry') })),
  ).toEqual([lasting, lasting, lasting, lasting]);
});

describe('an upload of lines with an Idempotency-Key', () => {
  const PIECE_MS = 4000;
  beforeEach(() => {
    // It goes on by itself, too: turns of reads pause by it.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: true });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Each piece comes in time, and all of them together do not. */
  const slowly = (pieces: readonly string[]) => {
    const left = [...pieces];
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        const piece = left.shift();
        if (piece === undefined) return controller.close();
        await vi.advanceTimersByTimeAsync(PIECE_MS);
        controller.enqueue(new TextEncoder().encode(piece));
      },
    });
  };
  const upload = (key: string, pieces: readonly string[]) =>
    // No job runs: its pauses would go by this clock, too, in the object of the test.
    edge.request('/v1/jobs?task=caption&dry_run=true', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key },
      body: slowly(pieces),
    });
  const line = (id: string) => `${JSON.stringify({ id, image })}\n`;

  it('may take as long as without one, and so may its repetition', async () => {
    const key = crypto.randomUUID();
    const pieces = [line('a'), line('b'), line('c')];
    expect(edge.deps.config.deadlineMs).toBeLessThan(2 * PIECE_MS - 1000);
    const first = await upload(key, pieces);
    expect(first.status, await first.clone().text()).toBe(200);
    const again = await upload(key, pieces);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(await again.json()).toEqual(await first.json());
    const other = await upload(key, [line('a'), line('b'), line('d')]);
    expect(await other.json()).toMatchObject({ status: 422 });
  });
});

it('creates no job whose place is gone when its lines have come', async () => {
  const hasPlace = vi.spyOn(JobListTable.prototype, 'expectCreation').mockReturnValueOnce(false);
  try {
    const body = `${JSON.stringify({ image })}\n`;
    const refused = await lines('task=caption', body);
    expect(await refused.json()).toMatchObject({ type: expect.stringContaining('deadline') });
    expect(hasPlace).toHaveBeenCalledTimes(1);
    expect((await lines('task=caption', body)).status).toBe(202);
  } finally {
    hasPlace.mockRestore();
  }
});

it('has a job canceled and deleted whose object does not answer when it is created', async () => {
  const create = vi.spyOn(JobBase.prototype, 'create').mockRejectedValueOnce(new Error('late'));
  const [drop, remove] = [
    vi.spyOn(JobIndex.prototype, 'dropJob'),
    vi.spyOn(JobIndex.prototype, 'removeJob'),
  ];
  try {
    const refused = await lines('task=caption', `${JSON.stringify({ image })}\n`);
    expect(refused.status).toBeGreaterThanOrEqual(500);
    expect([drop.mock.calls.length, remove.mock.calls.length]).toEqual([1, 0]);
  } finally {
    for (const spy of [create, drop, remove]) spy.mockRestore();
  }
});
