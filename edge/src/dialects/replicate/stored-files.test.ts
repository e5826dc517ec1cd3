/** Uploaded files: who reads them holds a piece and a place, and predictions read them only where they have to. */
import { imageIdOf } from '@blip2/shared/image-id';
import type { ReplicateFile } from '@blip2/shared/schemas/replicate/file';
import type { Prediction } from '@blip2/shared/schemas/replicate/prediction';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Env } from '../../platform.ts';
import { FileTable } from '../../predictions/file-table.ts';
import { PredictionObject } from '../../predictions/prediction-object.ts';
import { base64, newImage, startEdge, type TestEdge } from '../../testing/edge.ts';
import { resultReads } from '../../turns/bulk-reads.ts';
import { sharedTurns } from '../../turns/shared-turns.ts';

const BASE = '/replicate/v1';
const LARGE = { MAX_IMAGE_BYTES: '3000000', MAX_BODY_BYTES: '4000000' };
const WAIT = { prefer: 'wait' };
let edge: TestEdge;
let tests = 0;

function start(env: Partial<Env> = {}): void {
  edge = startEdge({ env: { CLIENT_ADDRESS_HEADER: 'x-address', ...env } });
}

beforeEach(() => {
  tests++;
  start();
  vi.stubGlobal('fetch', (url: string, init?: RequestInit) => edge.gpu.fetch(url, init));
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Of a caller of its own for each test, unless another is said. */
async function request(
  path: string,
  { headers, ...init }: RequestInit = {},
  caller = 1,
): Promise<Response> {
  const all = new Headers(headers);
  all.set('x-address', `2001:db8:f11e:${tests.toString(16)}${caller}::1`);
  return await edge.request(path.replace('http://edge.test', ''), { ...init, headers: all });
}

async function upload(bytes: Uint8Array<ArrayBuffer>): Promise<ReplicateFile> {
  const body = new FormData();
  body.set('content', new Blob([bytes]), 'a.png');
  const response = await request(`${BASE}/files`, { method: 'POST', body });
  expect(response.status).toBe(201);
  return await response.json();
}

async function create(input: object, headers: Record<string, string> = {}, caller = 1) {
  const body = JSON.stringify({ input });
  const sent = await request(`${BASE}/predictions`, { method: 'POST', body, headers }, caller);
  const reply = (await sent.json()) as Prediction & { field?: string; detail?: string };
  return { status: sent.status, body: reply };
}

/** The pieces of files that are read from now on. */
const pieces = () => vi.spyOn(FileTable.prototype, 'piece');

describe('a download', () => {
  it('has 32 readers at a time, each of which holds a piece, however little they read', async () => {
    start(LARGE);
    const image = newImage(2_500_000);
    const { urls } = await upload(image);
    const read = pieces();
    const open = await Promise.all(Array.from({ length: 32 }, () => request(urls.download)));
    expect(open.map(({ status }) => status)).toEqual(Array(32).fill(200));
    expect((await request(urls.download)).status).toBe(429);
    // The first, and one on its way.
    expect(read.mock.calls.length).toBeLessThanOrEqual(2 * 32);
    await Promise.all(open.slice(1).map(({ body }) => body?.cancel()));
    await vi.waitUntil(async () => {
      const { ok, body } = await request(urls.download);
      await body?.cancel();
      return ok;
    });
    expect(await open[0]?.bytes()).toEqual(image);
  });

  it('whose headers alone are asked for takes no place, and reads nothing', async () => {
    start(LARGE);
    const { urls } = await upload(newImage(2_500_000));
    const read = pieces();
    const headers = async (url: string) => (await request(url, { method: 'HEAD' })).status;
    const asked = await Promise.all(Array.from({ length: 33 }, () => headers(urls.download)));
    expect(asked).toEqual(Array(33).fill(200));
    expect(await headers(`${urls.download}0`)).toBe(404);
    expect(read).not.toHaveBeenCalled();
    const whole = await request(urls.download);
    const { headers: same } = await request(urls.download, { method: 'HEAD' });
    expect(same.get('content-type')).toBe(whole.headers.get('content-type'));
    await whole.body?.cancel();
  });

  it('counts among what its client has in memory until it is read', async () => {
    start({ ...LARGE, MAX_HELD_BYTES: '800000' });
    // What earlier tests have in memory may still count.
    const { urls } = await vi.waitFor(() => upload(newImage(700_000)), 10_000);
    const open = await request(urls.download);
    expect((await request(urls.download)).status).toBe(429);
    expect((await open.bytes()).length).toBe(700_000);
    const again = await request(urls.download);
    expect(again.status).toBe(200);
    await again.body?.cancel();
  });

  it('is read by turns, a piece in each', async () => {
    start(LARGE);
    const image = newImage(1_000_000);
    const { urls } = await upload(image);
    const turns = vi.spyOn(resultReads, 'run');
    expect(await (await request(urls.download)).bytes()).toEqual(image);
    expect(turns).toHaveBeenCalledTimes(4);
  });

  it('breaks off for a reader that has stopped, whose place is free', async () => {
    start({ ...LARGE, REQUEST_DEADLINE_MS: '100' });
    const { urls } = await upload(newImage(2_500_000));
    const open = await Promise.all(Array.from({ length: 32 }, () => request(urls.download)));
    expect(open.every(({ ok }) => ok)).toBe(true);
    await vi.waitUntil(async () => (await request(urls.download)).ok);
    await expect(open[0]?.bytes()).rejects.toThrow();
  });

  it('breaks off where the file is deleted meanwhile', async () => {
    start(LARGE);
    const { urls } = await upload(newImage(2_500_000));
    const response = await request(urls.download);
    expect((await request(urls.get, { method: 'DELETE' })).status).toBe(204);
    await expect(response.bytes()).rejects.toThrow();
  });
});

describe('a prediction about a file', () => {
  it('is ordered without its bytes, which are read once, by turns', async () => {
    const image = newImage();
    const { urls } = await upload(image);
    const [read, turns] = [pieces(), vi.spyOn(sharedTurns, 'take')];
    const creation = vi.spyOn(PredictionObject.prototype, 'create');
    const { body } = await create({ image: urls.get }, WAIT);
    expect([body.status, body.input.image]).toEqual(['succeeded', urls.get]);
    expect(creation.mock.calls[0]?.[0].source).toEqual({
      kind: 'file',
      id: urls.get.split('/').at(-1),
      sha256: await imageIdOf(image),
      size: image.length,
    });
    expect(edge.gpu.received[0]?.payload).toEqual(image);
    expect(read).toHaveBeenCalledTimes(1);
    expect(turns).toHaveBeenCalledTimes(1);
  });

  it('reads none of it where it is made already, or its image is known', async () => {
    const image = newImage();
    const { urls } = await upload(image);
    const first = await create({ image: urls.get }, WAIT);
    const read = pieces();
    expect((await create({ image: urls.get }, WAIT)).body.id).toBe(first.body.id);
    const other = await create({ image: urls.get, question: 'red?' }, WAIT);
    expect(other.body.status).toBe('succeeded');
    expect(read).not.toHaveBeenCalled();
    expect(edge.gpu.received.map(({ with: source }) => source)).toEqual(['image', 'embeddings']);
  });

  it('reads none of it where it is refused', async () => {
    const { urls } = await upload(newImage());
    edge.gpu.script.token = () => new Promise(() => {});
    const others = Array.from({ length: 64 }, (_, i) => `${i}?`);
    const image = `data:image/png;base64,${base64(newImage())}`;
    const made = await Promise.all(others.map((question) => create({ image, question })));
    expect(made.every(({ status }) => status === 201)).toBe(true);
    const read = pieces();
    expect((await create({ image: urls.get })).status).toBe(429);
    expect(read).not.toHaveBeenCalled();
    const cancels = made.map(({ body }) => request(body.urls.cancel, { method: 'POST' }));
    await Promise.all(cancels);
  });

  it('reads it from the object of whoever uploaded it, where no key is needed', async () => {
    const image = newImage();
    const { urls } = await upload(image);
    const { body } = await create({ image: urls.get }, WAIT, 2);
    expect(body.status).toBe('succeeded');
    expect(edge.gpu.received[0]?.payload).toEqual(image);
  });

  it('that is deleted before it is read fails, and leaves its image to whoever sends it', async () => {
    const image = newImage();
    const { urls } = await upload(image);
    vi.spyOn(FileTable.prototype, 'piece').mockReturnValueOnce(null);
    const { body } = await create({ image: urls.get }, WAIT);
    expect([body.status, body.error]).toEqual([
      'failed',
      expect.stringContaining('input.image: there is no such file any more'),
    ]);
    const sent = await create({ image: `data:image/png;base64,${base64(image)}` }, WAIT);
    expect(sent.body.status).toBe('succeeded');
  });
});

describe('a text that is not read', () => {
  const image = '0'.repeat(64);

  it.each<[string, object, string]>([
    ['question of a caption', { caption: true, question: 'x'.repeat(4097) }, 'input.question'],
    ['context of a caption', { caption: true, context: 'x'.repeat(4097) }, 'input.context'],
    ['question of spaces', { question: ' '.repeat(4097) }, 'input.question'],
    ['context of spaces', { question: 'red?', context: ' '.repeat(4097) }, 'input.context'],
  ])('%s is refused where it is too long to be stored', async (_name, texts, field) => {
    const { status, body } = await create({ image, ...texts });
    expect([status, body.field]).toEqual([422, field]);
    expect(body.detail).toContain('4097 characters');
  });
});
