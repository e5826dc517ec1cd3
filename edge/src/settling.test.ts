/** Parts of the platform that take every call and never answer one: whoever asked is answered within the limits all the same. */
import { describe, expect, it } from 'vitest';
import type { Env } from './platform.ts';
import { newId } from './predictions/ids.ts';
import { base64, newImage, startEdge, testEnv } from './testing/edge.ts';
import { createJob } from './testing/jobs.ts';
import { storeKey } from './testing/keys.ts';
import { generative } from './testing/models.ts';

type Bound = Required<Env>;
const { EMBEDDINGS, KEYS, PREDICTIONS, JOB_INDEX, JOBS, JOB_PARTS, JOB_FILES, IDEMPOTENCY } =
  testEnv as Bound;

const never = () => new Promise<never>(() => {});
const silent = <Service extends object>(service: Service): Service =>
  new Proxy(service, { get: () => never });

/** Objects have their ids, and answer nothing. */
function silentObjects(namespace: DurableObjectNamespace): DurableObjectNamespace {
  const stub = silent({});
  return {
    idFromName: (name: string) => namespace.idFromName(name),
    idFromString: (id: string) => namespace.idFromString(id),
    newUniqueId: () => namespace.newUniqueId(),
    get: () => stub,
    getByName: () => stub,
  } as unknown as DurableObjectNamespace;
}

const SHORT = { REQUEST_DEADLINE_MS: '300', CACHE_TIMEOUT_MS: '50' };
const silentEdge = (env: Partial<Env>) =>
  startEdge({ env: { ...SHORT, CLIENT_ADDRESS_HEADER: 'none', ...env } });

const idIn = (namespace: DurableObjectNamespace) => newId(namespace.newUniqueId());
const formOf = (fields: Record<string, string | File>) => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return { method: 'POST', body: form };
};
const jsonOf = (body: unknown, headers: Record<string, string> = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});
const dataUrl = () => `data:image/png;base64,${base64(newImage())}`;
const upload = () => formOf({ purpose: 'batch', file: new File(['{}\n'], 'lines.jsonl') });
const newJob = () => jsonOf({ task: 'caption', items: [{ image: dataUrl() }] });

async function expectBusy(env: Partial<Env>, path: string, init?: RequestInit): Promise<void> {
  const { request } = silentEdge(env);
  const response = await request(path, init);
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
  expect(await response.text()).toContain('does not answer now');
}

describe('objects of predictions that are silent', () => {
  const env = { PREDICTIONS: silentObjects(PREDICTIONS) };
  const BASE = '/replicate/v1';
  const input = () => ({ input: { image: dataUrl() } });
  const file = () => formOf({ content: new File([newImage()], 'a.png', { type: 'image/png' }) });

  it.each<[string, string, () => RequestInit]>([
    ['a new one', '/predictions', () => jsonOf(input())],
    ['one that is waited for', '/predictions', () => jsonOf(input(), { prefer: 'wait=1' })],
    ['one by its id', `/predictions/${idIn(PREDICTIONS)}`, () => ({})],
    ['its end', `/predictions/${idIn(PREDICTIONS)}/cancel`, () => ({ method: 'POST' })],
    ['its events', `/stream/${idIn(PREDICTIONS)}?token=a`, () => ({})],
    ['a new file', '/files', file],
    ['a file', `/files/${idIn(PREDICTIONS)}`, () => ({})],
    ['the bytes of a file', `/files/${idIn(PREDICTIONS)}/download?token=a`, () => ({})],
    ['the end of a file', `/files/${idIn(PREDICTIONS)}`, () => ({ method: 'DELETE' })],
  ])('cost %s a 503', async (_, path, init) => {
    await expectBusy(env, `${BASE}${path}`, init());
  });

  it('cost lists a 503', async () => {
    const headers = await storeKey();
    for (const path of ['/predictions', '/files']) {
      await expectBusy({ ...env, ALLOW_ANONYMOUS: '' }, `${BASE}${path}`, { headers });
    }
  });
});

describe('objects of files and jobs that are silent', () => {
  it.each<[string, string, () => RequestInit]>([
    ['an upload', '/v1/files', upload],
    ['the list of files', '/v1/files', () => ({})],
    ['a file', `/v1/files/file-${idIn(JOB_INDEX)}`, () => ({})],
    ['the end of a file', `/v1/files/file-${idIn(JOB_INDEX)}`, () => ({ method: 'DELETE' })],
    ['the list of jobs', '/v1/jobs', () => ({})],
    ['a new job', '/v1/jobs', newJob],
  ])('cost %s a 503: those of the owner', async (_, path, init) => {
    await expectBusy({ JOB_INDEX: silentObjects(JOB_INDEX) }, path, init());
  });

  it.each<[string, string, () => RequestInit]>([
    ['a new job', '/v1/jobs', newJob],
    ['a job', `/v1/jobs/job_${idIn(JOBS)}`, () => ({})],
    ['its events', `/v1/jobs/job_${idIn(JOBS)}/events`, () => ({})],
    ['its end', `/v1/jobs/job_${idIn(JOBS)}`, () => ({ method: 'DELETE' })],
  ])('cost %s a 503: those of the job', async (_, path, init) => {
    await expectBusy({ JOBS: silentObjects(JOBS) }, path, init());
  });

  it('cost the results of a job a 503: those of its parts', async () => {
    const body = { image: dataUrl() };
    const line = { custom_id: '1', method: 'POST', url: '/v1/captions', body };
    const job = await createJob([line], { kind: 'job' });
    await job.until('in_progress');
    const env = { JOB_PARTS: silentObjects(JOB_PARTS) };
    await expectBusy(env, `/v1/jobs/job_${job.id}/results`);
    await job.cancel();
  });
});

describe('a bucket that is silent', () => {
  const env = { JOB_FILES: silent(JOB_FILES) };

  it.each<[string, string, () => RequestInit]>([
    ['an upload', '/v1/files', upload],
    [
      'a job of a body',
      '/v1/jobs?task=caption',
      () => ({
        method: 'POST',
        body: `{"image":"${dataUrl()}"}`,
        headers: { 'content-type': 'application/x-ndjson' },
      }),
    ],
  ])('costs %s a 503', async (_, path, init) => {
    await expectBusy(env, path, init());
  });

  const uploaded = async (init: RequestInit) => {
    const { request } = startEdge({ env: { CLIENT_ADDRESS_HEADER: 'none' } });
    return (await (await request('/v1/files', init)).json()) as { id: string };
  };

  it('costs the bytes of a file a 503', async () => {
    const { id } = await uploaded(upload());
    await expectBusy(env, `/v1/files/${id}/content`);
  });

  it('costs a file of which only the bytes do not come a 503', async () => {
    const { id } = await uploaded(upload());
    const get: R2Bucket['get'] = async () => silent({}) as R2ObjectBody;
    const JOB_FILES_WITHOUT_BYTES = new Proxy(JOB_FILES, {
      get: (bucket, name) =>
        name === 'get' ? get : (bucket[name as keyof R2Bucket] as () => unknown).bind(bucket),
    });
    await expectBusy({ JOB_FILES: JOB_FILES_WITHOUT_BYTES }, `/v1/files/${id}/content`);
  });

  it('costs a conversation about a file a 503', async () => {
    const { id } = await uploaded(
      formOf({ purpose: 'vision', file: new File([newImage()], 'a.png') }),
    );
    const content = [{ type: 'input_image', file_id: id }];
    const body = { model: generative.name, input: [{ role: 'user', content }] };
    await expectBusy(env, '/v1/responses', jsonOf(body));
  });
});

describe('keys that are silent', () => {
  it('let nobody in, and say so', async () => {
    const env = { KEYS: silent(KEYS), ALLOW_ANONYMOUS: '' };
    const { request, gpu } = silentEdge(env);
    const response = await request('/v1/captions', { ...jsonOf({}), headers: await storeKey() });
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await response.json()).toMatchObject({ type: '/problems/keys-unavailable' });
    expect(gpu.received).toHaveLength(0);
  });
});

describe('KV that is silent', () => {
  it('costs a caption nothing where replies are cached there', async () => {
    const env = { EMBEDDINGS: silent(EMBEDDINGS), CACHE_REPLIES_IN_KV: 'true' };
    const { post, gpu } = silentEdge({ ...env, REQUEST_DEADLINE_MS: '5000' });
    const response = await post('/v1/captions', { image: { data: base64(newImage()) } });
    expect(await response.json()).toMatchObject({ caption: 'a red dog' });
    expect(gpu.received).toHaveLength(1);
  });
});

it.each<[string, Partial<Env>]>([
  ['KV', { EMBEDDINGS: silent(EMBEDDINGS) }],
  ['the object of its predictions', { PREDICTIONS: silentObjects(PREDICTIONS) }],
  ['the object of its files and jobs', { JOB_INDEX: silentObjects(JOB_INDEX) }],
])('no image of a caller seems deleted while %s is silent', async (_, env) => {
  // Time for a turn too, after others' deletions that were slow.
  const longer = { REQUEST_DEADLINE_MS: '1500', ALLOW_ANONYMOUS_DELETE: 'true' };
  const { request } = silentEdge({ ...env, ...longer });
  const response = await request(`/v1/images/${'5e'.repeat(32)}`, { method: 'DELETE' });
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ type: '/problems/cache-unavailable' });
});

describe('objects of replies that are silent', () => {
  it('cost a request with an Idempotency-Key a 504 once its deadline has passed', async () => {
    const { post, gpu } = silentEdge({ IDEMPOTENCY: silentObjects(IDEMPOTENCY) });
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const image = { data: base64(newImage()) };
    const response = await post('/v1/captions', { image }, headers);
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ type: '/problems/deadline-exceeded' });
    expect(gpu.received).toHaveLength(0);
  });
});
