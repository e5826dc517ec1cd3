/** What GPU workers get for an item from the edge, and who may ask. */
import { runInDurableObject, SELF } from 'cloudflare:test';
import { readFrames } from '@blip2/shared/frames';
import { commitPath, SOURCE_FAILURES_HEADER, sourcePath } from '@blip2/shared/jobs/commit';
import { SIGNATURE_HEADER, sign } from '@blip2/shared/jobs/signature';
import { expect, test } from 'vitest';
import { PassingFailure } from '../image/fetch-failures.ts';
import { base64, newImage, startEdge, testContext } from '../testing/edge.ts';
import {
  bucket,
  captioned,
  createJob,
  frames,
  remove,
  signed,
  withEmbeddings,
} from '../testing/jobs.ts';
import type { JobPartObject } from './contract.ts';
import { OpenItems } from './open-items.ts';

const line = (custom_id: string, image: object) => ({
  custom_id,
  method: 'POST',
  url: '/v1/captions',
  body: { image },
});

test('an image that was in an item lies in the bucket once, and is given to workers', async () => {
  const image = newImage();
  const data = base64(image);
  const job = await createJob([
    line('a', { data }),
    line('b', { url: `data:image/png;base64,${data}` }),
  ]);
  const [received] = await job.receive();
  expect(received?.message.source).toEqual({ edge: true });
  const { owner } = (await job.snapshot()).order;
  const { objects } = await bucket.list({ prefix: `${owner}/jobs/${job.id}/images/` });
  expect(objects).toHaveLength(1);
  for (const item of [0, 1]) {
    const response = await job.source(0, item);
    expect(response.status).toBe(200);
    const [frame] = await Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));
    expect(frame?.type).toBe('image');
    expect(frame?.payload).toEqual(image);
  }
  await job.commit(0, [{ item: 0, outcome: captioned(' done') }]);
  expect((await job.source(0, 0)).status).toBe(410);
  // A message of it that comes again is about nothing.
  const late = await job.commit(0, [{ item: 0, outcome: captioned(' again') }]);
  expect(late).toMatchObject({ fresh: 0, duplicates: 1, state: 'running' });
});

test('embeddings that a job has computed are cached where its order says so, and used by the next', async () => {
  const image = newImage();
  const lines = [line('a', { data: base64(image) })];
  const run = async (cacheEmbeddings: boolean) => {
    const job = await createJob(lines, { cacheEmbeddings });
    const [received] = await job.receive();
    if (received === undefined) throw new Error('nothing was sent');
    const response = await job.source(0, 0);
    const [frame] = await Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));
    const sha256 = new Uint8Array(await crypto.subtle.digest('SHA-256', image)).toHex();
    const events = withEmbeddings(' a dog', sha256);
    const outcome = frames(frame?.type === 'image' ? events : events.slice(2), sha256);
    await job.commit(0, [{ item: 0, outcome }]);
    await remove(received.handle);
    await job.until('completed');
    expect((await job.results())[0]).toMatchObject({
      body: { caption: 'a dog', image: { sha256, width: 4 } },
    });
    return { wants: received.message.wants_embeddings, got: frame?.type };
  };
  expect(await run(false)).toEqual({ wants: undefined, got: 'image' });
  expect(await run(true)).toEqual({ wants: true, got: 'image' });
  const { deps } = startEdge();
  const sha256 = new Uint8Array(await crypto.subtle.digest('SHA-256', image)).toHex();
  await expect
    .poll(async () => {
      const { context } = testContext();
      return (await deps.stores.query.cache.lookup(`shared/${sha256}`, context)).kind;
    })
    .toBe('hit');
  expect((await run(false)).got).toBe('embeddings');
});

test('an image that came with its item is sent when its cached embeddings are gone', async () => {
  const image = newImage();
  const sha256 = new Uint8Array(await crypto.subtle.digest('SHA-256', image)).toHex();
  const job = await createJob([line('a', { data: base64(image) })]);
  await job.receive();
  const about = { kind: 'embeddings', sha256, isStored: true } as const;
  await runInDurableObject(job.part(0), (_, { storage }) => {
    const open = new OpenItems(storage);
    const work = open.find(0)?.work;
    if (work === undefined) throw new Error('it has ended');
    const shape = { width: 4, height: 4, format: 'png' } as const;
    open.replaceWork(0, { ...work, source: { ...about, image: shape } });
  });
  const response = await job.source(0, 0);
  const [frame] = await Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));
  expect(frame?.type).toBe('image');
  expect(frame?.payload).toEqual(image);
});

test('an image that cannot be had fails its item alone', async () => {
  const job = await createJob([line('a', { url: 'https://nobody.example/a.png' })]);
  const [received] = await job.receive();
  expect((await job.source(0, 0)).status).toBe(410);
  await remove(received?.handle ?? '');
  const { state, counts } = await job.until('completed');
  expect([state, counts.failed]).toEqual(['completed', 1]);
  expect((await job.results())[0]).toMatchObject({
    outcome: 'failed',
    status: 400,
    body: { type: '/problems/image-url-failed' },
  });
});

test('a host that may be back soon is asked some times', async () => {
  const job = await createJob([line('a', { url: 'https://images.example.org/a.png' })]);
  await job.receive();
  const part = job.part(0) as unknown as JobPartObject;
  const problem = new PassingFailure('The host is busy.').toProblem();
  const ends: boolean[] = [];
  for (let i = 0; i < 4; i++) ends.push(await part.sourceFailed(0, problem, true));
  expect(ends).toEqual([false, false, false, true]);
  await job.until('completed');
  expect((await job.results())[0]).toMatchObject({ body: { detail: 'The host is busy.' } });
});

test('an item does not end for an edge that had no time for its image, however often', async () => {
  const job = await createJob([line('a', { url: 'https://images.example.org/a.png' })]);
  await job.receive();
  const part = job.part(0) as unknown as JobPartObject;
  const problem = new PassingFailure('Other large requests are being read.').toProblem();
  for (let i = 0; i < 6; i++) expect(await part.sourceFailed(0, problem, true, true)).toBe(false);
  expect(await part.source(0)).toMatchObject({ kind: 'url', failures: 6 });
  // Those of its host count by themselves.
  const ends: boolean[] = [];
  for (let i = 0; i < 4; i++) ends.push(await part.sourceFailed(0, problem, true));
  expect(ends).toEqual([false, false, false, true]);
});

test('workers hear with an image how often it could not be had', async () => {
  const job = await createJob([line('a', { data: base64(newImage()) })]);
  await job.receive();
  const part = job.part(0) as unknown as JobPartObject;
  const problem = new PassingFailure('The host is busy.').toProblem();
  const said: (string | null)[] = [];
  for (let i = 0; i < 3; i++) {
    const response = await job.source(0, 0);
    await response.body?.cancel();
    said.push(response.headers.get(SOURCE_FAILURES_HEADER));
    await part.sourceFailed(0, problem, true);
  }
  expect(said).toEqual(['0', '1', '2']);
});

test('only what is signed with the secret, for what is asked, is answered', async () => {
  const job = await createJob([line('a', { url: 'https://images.example.org/a.png' })]);
  await job.until('in_progress');
  const path = commitPath(job.id, 0);
  const body = JSON.stringify({ results: [{ item: 0, outcome: captioned(' forged') }] });
  const bytes = new Uint8Array(new TextEncoder().encode(body));
  const post = (header: string | null, to = path) =>
    SELF.fetch(`http://edge.test${to}`, {
      method: 'POST',
      headers: header === null ? {} : { [SIGNATURE_HEADER]: header },
      body: bytes,
    });
  const other = await sign('x'.repeat(40), { method: 'POST', path, body: bytes }, Date.now());
  for (const header of [null, '', 't=1,v1=00', other]) {
    const response = await post(header);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ type: '/problems/invalid-key' });
  }
  expect((await job.snapshot()).counts.completed).toBe(0);
  expect((await SELF.fetch(`http://edge.test${sourcePath(job.id, 0, 0)}`)).status).toBe(401);
});

test.each([
  ['', 400],
  ['[]', 400],
  [{ results: [] }, 400],
  [{ results: [{ item: -1, outcome: { kind: 'gave-up', receives: 1 } }] }, 400],
  [{ results: [{ item: 0, outcome: { kind: 'else' } }] }, 400],
  [
    {
      results: Array.from({ length: 101 }, (_, item) => ({
        item,
        outcome: { kind: 'gave-up', receives: 1 },
      })),
    },
    400,
  ],
])('a commit of another form is refused: %o', async (value, status) => {
  const response = await signed('POST', commitPath('a'.repeat(96), 0), value);
  expect(response.status).toBe(status);
});

test('there is no part but those of jobs', async () => {
  const value = { results: [{ item: 0, outcome: { kind: 'gave-up', receives: 1 } }] };
  expect((await signed('POST', commitPath('a'.repeat(96), 0), value)).status).toBe(410);
  expect((await signed('GET', sourcePath('a'.repeat(96), 0, 0))).status).toBe(410);
  expect((await signed('POST', '/internal/jobs/x/parts/0/commit', value)).status).toBe(404);
  expect((await signed('POST', commitPath('a'.repeat(96), 1e9), value)).status).toBe(404);
});
