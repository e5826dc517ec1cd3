/** `DELETE /v1/images/{sha256}` and what is stored for callers: replies by `Idempotency-Key`, predictions, files, images of jobs. */
import { imageIdOf } from '@blip2/shared/image-id';
import type { ReplicateFile } from '@blip2/shared/schemas/replicate/file';
import type { Prediction } from '@blip2/shared/schemas/replicate/prediction';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { imageKey } from '../jobs/contract.ts';
import { type JobIndexObject, ROOM_OF } from '../jobs/job-index-contract.ts';
import { newId } from '../predictions/ids.ts';
import { base64, newImage, startEdge, type TestEdge, testEnv } from '../testing/edge.ts';
import { generative, retrieval } from '../testing/models.ts';

const BASE = '/replicate/v1';
let edge: TestEdge;
let bytes: Uint8Array<ArrayBuffer>;
let sha256: string;
let callers = 0;

/** An isolate, whose callers may delete, and are distinguished by an address. */
const isolate = () =>
  startEdge({
    env: {
      ALLOW_ANONYMOUS_DELETE: 'true',
      CLIENT_ADDRESS_HEADER: 'x-address',
      REPLY_TTL_HOURS: '0',
    },
  });
const newCaller = () => ({ 'x-address': `2001:db8:1:${(++callers).toString(16)}::1` });
let caller: Record<string, string>;

beforeEach(async () => {
  edge = isolate();
  caller = newCaller();
  bytes = newImage();
  sha256 = await imageIdOf(bytes);
  vi.stubGlobal('fetch', (url: string, init?: RequestInit) => edge.gpu.fetch(url, init));
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const remove = async (headers = caller, at = edge) => {
  const reply = await at.request(`/v1/images/${sha256}`, { method: 'DELETE', headers });
  expect(reply.status).toBe(204);
};

describe('a reply stored under an Idempotency-Key', () => {
  const key = () => ({ ...caller, 'idempotency-key': crypto.randomUUID() });
  const isReplayed = ({ headers }: Response) => headers.get('idempotent-replayed') === 'true';
  const forms: [string, () => object | Uint8Array<ArrayBuffer>, Record<string, string>][] = [
    ['/v1/captions', () => bytes, { 'content-type': 'image/png' }],
    ['/v1/captions?stream=true', () => ({ image: { data: base64(bytes) } }), {}],
    ['/v1/match', () => ({ image: { data: base64(bytes) }, texts: ['a dog'] }), {}],
    [
      '/v1/embeddings',
      () => ({ model: retrieval.name, input: `data:image/png;base64,${base64(bytes)}` }),
      {},
    ],
    ['/hf/image-to-text', () => ({ inputs: base64(bytes) }), {}],
    ['/api/generate', () => ({ model: generative.name, prompt: '', images: [base64(bytes)] }), {}],
    [
      `${BASE}/models/salesforce/blip-2/predictions`,
      () => ({ input: { image: `data:image/png;base64,${base64(bytes)}`, caption: true } }),
      { prefer: 'wait' },
    ],
  ];

  it.each(forms)('of %s is not replayed after its image was deleted', async (path, body, more) => {
    const headers = { ...key(), ...more };
    const send = async (at = edge) => {
      const reply = await at.post(path, body(), headers);
      expect(reply.status).toBeLessThan(300);
      await reply.text();
      return isReplayed(reply);
    };
    expect(await send()).toBe(false);
    expect(await send()).toBe(true);
    // Somebody else of the namespace.
    await remove(newCaller(), isolate());
    expect(await send(isolate())).toBe(false);
    expect(await send(isolate())).toBe(true);
  });

  it('stays where another image of the namespace was deleted', async () => {
    const headers = key();
    const other = newImage();
    const send = (at = edge) =>
      at.post('/v1/captions', other, { ...headers, 'content-type': 'image/png' });
    await (await send()).text();
    await remove();
    const reply = await send(isolate());
    expect(isReplayed(reply)).toBe(true);
    await reply.text();
  });
});

describe('of Replicate', () => {
  const input = () => ({ image: `data:image/png;base64,${base64(bytes)}`, caption: true });
  const create = async () => {
    const wait = { ...caller, prefer: 'wait' };
    const path = `${BASE}/models/salesforce/blip-2/predictions`;
    return (await (await edge.post(path, { input: input() }, wait)).json()) as Prediction;
  };
  const upload = async () => {
    const form = new FormData();
    form.set('content', new Blob([bytes]), 'a.png');
    return (await (await edge.post(`${BASE}/files`, form, caller)).json()) as ReplicateFile;
  };
  const statusOf = async (url: string) => {
    const path = url.replace('http://edge.test', '');
    const reply = await edge.request(path, { headers: caller });
    await reply.body?.cancel();
    return reply.status;
  };

  it.each([
    ['its own', () => caller],
    ['another', newCaller],
  ])('a prediction and a file are gone when %s caller deletes the image', async (_, who) => {
    const prediction = await create();
    const file = await upload();
    expect(prediction.output).toBe('a red dog');
    const urls = [file.urls.get, file.urls.download];
    expect(await Promise.all(urls.map(statusOf))).toEqual([200, 200]);
    await remove(who());
    // For a minute an object believes what it has read of deletions; those of the caller do not ask.
    const later = Date.now() + 61_000;
    vi.spyOn(Date, 'now').mockReturnValue(later);
    const all = [...urls, prediction.urls.get, prediction.urls.stream ?? ''];
    expect(await Promise.all(all.map(statusOf))).toEqual([404, 404, 404, 404]);
    vi.restoreAllMocks();
  });

  it('are gone at once for who deletes the image', async () => {
    const [prediction, file] = [await create(), await upload()];
    await remove();
    expect(await statusOf(prediction.urls.get)).toBe(404);
    expect(await statusOf(file.urls.download)).toBe(404);
  });

  it('a prediction under way is answered', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const created = create();
    await edge.gpu.untilReceived(1);
    await remove();
    gate.resolve();
    expect((await created).output).toBe('a red dog');
  });
});

it('images of all jobs of the caller are deleted from the bucket, and no others', async () => {
  const [namespace, bucket] = [testEnv.JOB_INDEX, testEnv.JOB_FILES];
  if (namespace === undefined || bucket === undefined) throw new Error('not bound');
  const index = namespace.idFromName(`address/${caller['x-address']?.replace('::1', '::/64')}`);
  const object = namespace.get(index) as unknown as JobIndexObject;
  const jobs = [1, 2].map(() => newId(index));
  for (const id of jobs) {
    const now = Date.now();
    await object.addJob({ id, kind: 'job', createdAt: now, deleteAt: now + 60_000 }, ROOM_OF.key);
    await bucket.put(imageKey(`${index}`, id, sha256), bytes);
  }
  const others = [imageKey(`${index}`, jobs[0] ?? '', 'f'.repeat(64)), imageKey('x', 'y', sha256)];
  for (const key of others) await bucket.put(key, bytes);
  await remove();
  for (const id of jobs) expect(await bucket.head(imageKey(`${index}`, id, sha256))).toBeNull();
  for (const key of others) expect(await bucket.head(key)).not.toBeNull();
});
