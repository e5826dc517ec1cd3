/** Cached replies of the real model: the second time without the GPU worker, in the same bytes, until the worker is another. */
import { once } from 'node:events';
import { createServer, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePort } from '@blip2/gpu-worker/check-port';
import { MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { withDefaults } from '@blip2/shared/config/option';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { endWorker, launchWorker, untilReady } from '../../tools/worker-process.ts';
import { type TestImage, testImages } from '../support/test-images.ts';

const QUESTION = 'what color is the background?';

let stack: Stack;
let images: TestImage[];
beforeAll(async () => {
  [stack, images] = await Promise.all([startStack(), testImages(4)]);
});
afterAll(() => stack?.stop());

const dataOf = ({ bytes }: TestImage) => Buffer.from(bytes).toString('base64');

async function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${stack.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return { text, timing: response.headers.get('server-timing') };
}

/** Tokens that the GPU worker has generated since it was started. */
async function generated(): Promise<number> {
  const metrics = await (await fetch(`${stack.workerUrl}/metrics`)).text();
  return Number(/^blip2_generation_tokens_total(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1]);
}

/** Without ids, times, what is said of the cache, and the comments of a stream that waits. */
const withoutIdentity = (text: string) =>
  text
    .replaceAll(': \n\n', '')
    .replaceAll(/"(cache|id|item_id)":"[^"]*"/g, '"$1":""')
    .replaceAll(/"timings_ms":\{[^}]*\}/g, '"timings_ms":{}')
    .replaceAll(/"(created|created_at|completed_at)":\d+/g, '"$1":0');

const conversation = (image: TestImage) => [
  {
    role: 'user',
    content: [
      { type: 'text', text: QUESTION },
      { type: 'image_url', image_url: { url: `data:image/webp;base64,${dataOf(image)}` } },
    ],
  },
];

describe('the second request', () => {
  it.each<[string, string, (image: TestImage) => Record<string, unknown>]>([
    ['a caption', '/v1/captions', (image) => ({ image: { data: dataOf(image) } })],
    [
      'a search with log-probabilities, as a stream',
      '/v1/answers',
      (image) => ({
        image: { data: dataOf(image) },
        question: QUESTION,
        num_beams: 4,
        n: 3,
        logprobs: true,
        top_logprobs: 3,
        stream: true,
      }),
    ],
    [
      'a text with a stop sequence, as a stream',
      '/v1/captions',
      (image) => ({ image: { data: dataOf(image) }, stop: ' on', stream: true }),
    ],
    [
      'a chat as a stream',
      '/v1/chat/completions',
      (image) => ({ model: stack.model.name, messages: conversation(image), stream: true }),
    ],
    [
      'answers with their probabilities',
      '/hf/visual-question-answering',
      (image) => ({
        inputs: { image: dataOf(image), question: QUESTION },
        parameters: { top_k: 3 },
      }),
    ],
  ])('of %s is answered in the same bytes, without the GPU worker', async (_what, path, bodyOf) => {
    const body = bodyOf(images[0]!);
    const first = await post(path, body, { 'cache-control': 'no-cache' });
    const before = await generated();
    expect(before).toBeGreaterThan(0);
    const again = await post(path, body);
    expect(withoutIdentity(again.text)).toBe(withoutIdentity(first.text));
    expect(await generated()).toBe(before);
  });

  it('says so', async () => {
    const body = { image: { data: dataOf(images[1]!) } };
    await post('/v1/captions', body);
    const { text, timing } = await post('/v1/captions', body);
    expect(JSON.parse(text)).toMatchObject({ cache: 'reply' });
    expect(timing).toMatch(/^read;dur=\S+ reply;dur=\S+ wait;dur=\S+ total;dur=\S+$/);
  });

  it('is made by the GPU worker where something is drawn', async () => {
    const body = { image: { data: dataOf(images[2]!) }, temperature: 1, seed: 1 };
    await post('/v1/captions', body);
    const before = await generated();
    await post('/v1/captions', body);
    expect(await generated()).toBeGreaterThan(before);
  });
});

/** Forwards to one URL, then to another. */
async function startSwitch(url: string) {
  let target = url;
  const server = createServer((incoming, outgoing) => {
    const { method, headers, url: path } = incoming;
    const forwarded = send(new URL(path!, target), { method, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode!, reply.headers);
      reply.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    to: (other: string) => {
      target = other;
    },
    stop: () => server.close(),
  };
}

it('a worker of another precision, whose embeddings are the same, replays nothing of the one before', async () => {
  const model = { ...withDefaults(MODEL_OPTIONS), precision: 'int8' as const };
  let workers: Awaited<ReturnType<typeof startSwitch>> | undefined;
  const through = async (url: string) => {
    workers = await startSwitch(url);
    return workers.url;
  };
  const port = await freePort(
    { host: '127.0.0.1', port: 0 },
    { variables: { host: 'BLIP2_WORKER_HOST', port: 'BLIP2_WORKER_PORT' } },
  );
  const other = launchWorker({ BLIP2_PRECISION: 'int4', BLIP2_WORKER_PORT: String(port) }, 'error');
  const otherUrl = `http://127.0.0.1:${port}`;
  const own = await startStack({ model, through });
  try {
    await untilReady(other, otherUrl, 60_000);
    const ask = async () => {
      const body = JSON.stringify({ image: { data: dataOf(images[3]!) }, logprobs: true });
      const headers = { 'content-type': 'application/json' };
      const url = `${own.url}/v1/captions`;
      const reply = await (await fetch(url, { method: 'POST', headers, body })).json();
      return reply as { cache: string; logprobs: { logprob: number }[] };
    };
    const first = await ask();
    expect((await ask()).cache).toBe('reply');
    workers?.to(otherUrl);
    // What has just replied is not asked again for two seconds; a reply of the new worker tells at once.
    await fetch(`${own.url}/v1/captions?max_tokens=2`, {
      method: 'POST',
      headers: { 'content-type': 'image/webp' },
      body: images[3]!.bytes as Uint8Array<ArrayBuffer>,
    });
    const second = await ask();
    expect(second.cache).not.toBe('reply');
    expect(second.logprobs).not.toEqual(first.logprobs);
    expect(await ask()).toMatchObject({ cache: 'reply', logprobs: second.logprobs });
  } finally {
    await own.stop();
    await endWorker(other);
    workers?.stop();
  }
});
