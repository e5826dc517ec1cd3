/** When the bytes of an image that was uploaded to `/v1/files` are read. */
import { env as bindings } from 'cloudflare:workers';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { fileKey } from '../../jobs/job-index-contract.ts';
import type { Env } from '../../platform.ts';
import { newImage, startEdge, type TestEdge } from '../../testing/edge.ts';
import { storeKey } from '../../testing/keys.ts';
import { generative } from '../../testing/models.ts';
import { dearWork } from '../../turns/dear-work.ts';
import { Crowded } from '../../work-in-hand.ts';

const { JOB_FILES: bucket } = bindings as unknown as Required<Env>;

let edge: TestEdge;
let headers: Record<string, string>;
/** Keys of what was read. */
let reads: string[];
beforeEach(async () => {
  reads = [];
  const counting = new Proxy(bucket, {
    get: (target, name) => {
      const method = Reflect.get(target, name).bind(target);
      if (name !== 'get') return method;
      return (key: string, ...more: unknown[]) => {
        reads.push(key);
        return method(key, ...more);
      };
    },
  });
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '', JOB_FILES: counting } });
  headers = await storeKey();
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function upload(image = newImage()): Promise<string> {
  const form = new FormData();
  form.set('file', new File([image], 'a.png'));
  form.set('purpose', 'vision');
  const reply = await edge.post('/v1/files', form, headers);
  expect(reply.status, await reply.clone().text()).toBe(200);
  return ((await reply.json()) as { id: string }).id;
}

function ask(file_id: string, text = 'What is it?', more: Record<string, string> = {}) {
  const content = [
    { type: 'file', file: { file_id } },
    { type: 'text', text },
  ];
  const request = { model: generative.name, messages: [{ role: 'user', content }] };
  return edge.post('/v1/chat/completions', request, { ...headers, ...more });
}

const keyOf = (id: string) => fileKey(id.replace('file-', ''));

it('once, while its embeddings or a reply are cached', async () => {
  const id = await upload();
  for (const question of ['What is it?', 'What is it?', 'Which color?']) {
    expect((await ask(id, question)).status).toBe(200);
    await edge.settled();
  }
  expect(reads).toEqual([keyOf(id)]);
  expect(edge.gpu.received.map((run) => run.with)).toEqual(['image', 'embeddings']);
});

it('once for all who ask at the same time', async () => {
  const id = await upload();
  const questions = ['one?', 'two?', 'three?', 'four?'];
  const replies = await Promise.all(questions.map((question) => ask(id, question)));
  expect(replies.map(({ status }) => status)).toEqual(questions.map(() => 200));
  expect(reads).toEqual([keyOf(id)]);
});

it.each([{}, { 'cache-control': 'no-cache' }])(
  'not where the GPU worker has no room: %o',
  async (more) => {
    const id = await upload();
    vi.spyOn(edge.deps.gpu, 'refusal').mockReturnValue(new Crowded());
    expect((await ask(id, 'What is it?', more)).status).toBe(503);
    expect(reads).toEqual([]);
  },
);

it('and hashed in a turn of its client', async () => {
  const image = newImage(100_000);
  const id = await upload(image);
  const turn = vi.spyOn(dearWork, 'turn');
  expect((await ask(id)).status).toBe(200);
  const ofImage = turn.mock.calls.filter(([, , { remedy }]) => remedy === 'a smaller image');
  expect(ofImage.map(([, ms]) => ms)).toEqual([0.5]);
});

it('and used only where they are what was uploaded', async () => {
  const id = await upload();
  await bucket.put(keyOf(id), newImage());
  expect((await ask(id)).status).toBe(500);
  expect(edge.gpu.received).toEqual([]);
});
