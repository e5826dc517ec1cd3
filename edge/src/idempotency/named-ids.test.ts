/** What replies to requests with an `Idempotency-Key` hand out by id is found as long as they are replayed. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { objectIdOf } from '../predictions/ids.ts';
import { takesIdempotencyKey } from '../routes/openapi/problems.ts';
import { ROUTES } from '../routes/routes.ts';
import { newImage, startEdge, type TestEdge, testEnv } from '../testing/edge.ts';
import { caption, TestJob } from '../testing/jobs.ts';
import { storeKey } from '../testing/keys.ts';

let edge: TestEdge;
let caller: Record<string, string>;
beforeEach(async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  caller = await storeKey();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

type Shown = { id: string; status: string };
const JOBS = testEnv.JOBS as DurableObjectNamespace;

const form = (entries: Record<string, string | File>) => {
  const body = new FormData();
  for (const [name, value] of Object.entries(entries)) body.set(name, value);
  return body;
};
const png = (bytes = newImage()) => new File([bytes], 'a.png');
const lines = () => form({ purpose: 'batch', file: new File(['{"custom_id":"1"}\n'], 'a.jsonl') });

async function ended(shownId: string): Promise<void> {
  const id = shownId.slice(shownId.indexOf('_') + 1);
  await new TestJob(id, objectIdOf(JOBS, id) as DurableObjectId).run(caption);
}

async function remove(path: string): Promise<void> {
  const reply = await edge.request(path, { method: 'DELETE', headers: caller });
  expect(reply.status, await reply.text()).toBeLessThan(300);
}

/** By what is created: the path, a body for each attempt, how it is deleted, and where it is read. */
const CREATED: {
  what: string;
  path: string;
  body: () => unknown;
  remove: (id: string) => Promise<void>;
  read: (id: string) => string;
}[] = [
  {
    what: 'a file of lines',
    path: '/v1/files',
    body: lines,
    remove: (id) => remove(`/v1/files/${id}`),
    read: (id) => `/v1/files/${id}`,
  },
  {
    what: 'a job',
    path: '/v1/jobs',
    body: () => ({ task: 'caption', items: [{ image: { url: 'https://images.example/a.png' } }] }),
    remove: async (id) => {
      await ended(id);
      await remove(`/v1/jobs/${id}?purge=true`);
    },
    read: (id) => `/v1/jobs/${id}`,
  },
  {
    what: 'a file of Replicate',
    path: '/replicate/v1/files',
    body: (() => {
      const bytes = newImage();
      return () => form({ content: png(bytes) });
    })(),
    remove: (id) => remove(`/replicate/v1/files/${id}`),
    read: (id) => `/replicate/v1/files/${id}`,
  },
];

describe.each(CREATED)('the reply that created $what', ({ path, body, remove, read }) => {
  it('is replayed until that is deleted: then the request runs anew', async () => {
    const headers = { ...caller, 'idempotency-key': crypto.randomUUID() };
    const send = async () => {
      const reply = await edge.post(path, body(), headers);
      const text = await reply.text();
      expect(reply.status, text).toBeLessThan(300);
      const isReplayed = reply.headers.get('idempotent-replayed') === 'true';
      return { id: (JSON.parse(text) as Shown).id, isReplayed };
    };
    const first = await send();
    expect(await send()).toEqual({ id: first.id, isReplayed: true });
    await remove(first.id);
    const gone = await edge.request(read(first.id), { headers: caller });
    expect(gone.status).toBe(404);
    // However many ask: it is created once more.
    const [second, third] = await Promise.all([send(), send()]);
    expect(second.id).not.toBe(first.id);
    expect(third.id).toBe(second.id);
    expect([second.isReplayed, third.isReplayed].sort()).toEqual([false, true]);
    expect((await edge.request(read(second.id), { headers: caller })).status).toBe(200);
    expect(await send()).toEqual({ id: second.id, isReplayed: true });
  });
});

it('the key of what was deleted is still that of the same request', async () => {
  const headers = { ...caller, 'idempotency-key': crypto.randomUUID() };
  const created = (await (await edge.post('/v1/files', lines(), headers)).json()) as Shown;
  await remove(`/v1/files/${created.id}`);
  const other = await edge.post('/v1/captions', newImage(), {
    ...headers,
    'content-type': 'image/png',
  });
  expect(other.status).toBe(422);
});

it('a prediction, and its cancelation, are asked for anew when an hour has passed', async () => {
  // Objects have dependencies of their own, whose fetch is the platform's.
  vi.stubGlobal('fetch', (url: string, init?: RequestInit) => edge.gpu.fetch(url, init));
  const key = () => ({ ...caller, 'idempotency-key': crypto.randomUUID() });
  const input = { image: `data:image/png;base64,${newImage().toBase64()}`, caption: true };
  const [creating, canceling] = [key(), key()];
  const create = async () => await edge.post('/replicate/v1/predictions', { input }, creating);
  const { id } = (await (await create()).json()) as Shown;
  const path = `/replicate/v1/predictions/${id}/cancel`;
  const cancel = () => edge.request(path, { method: 'POST', headers: canceling });
  expect((await cancel()).status).toBe(200);
  expect((await (await create()).json()) as Shown).toMatchObject({ id });
  expect((await cancel()).headers.get('idempotent-replayed')).toBe('true');
  vi.setSystemTime(Date.now() + 3_600_000);
  try {
    const again = (await (await create()).json()) as Shown;
    expect(again.id).not.toBe(id);
    expect((await cancel()).status).toBe(404);
  } finally {
    vi.useRealTimers();
  }
});

it('every POST whose reply can be read again by its id says whether it is still there', () => {
  const schemasOf = ({ reply }: (typeof ROUTES)[number]) => reply['application/json'] ?? [];
  const read = new Set(
    ROUTES.filter(({ method, path }) => method === 'GET' && /_id\}$/.test(path)).flatMap(
      (route) => [...schemasOf(route)],
    ),
  );
  const handingOut = ROUTES.filter(
    (route) =>
      route.method === 'POST' &&
      takesIdempotencyKey(route) &&
      [...schemasOf(route)].some((name) => read.has(name)),
  );
  expect(handingOut.length).toBeGreaterThan(7);
  expect(handingOut.filter(({ isThere }) => isThere === undefined)).toEqual([]);
});
