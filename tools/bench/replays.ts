/**
 * Measures cached replies, which no GPU worker takes part in: what is left is the edge alone, and so is what a dialect adds
 * to our own route. Every way names the image by its hash. Times are of one request after the other, the ways in turn, each when
 * what the one before it left to do is done; rates, which count that too, of 16 connections. Medians. Replicate's is a new prediction each time, by another seed: the same one would be that of before.
 */
import { setTimeout } from 'node:timers/promises';
import autocannon from 'autocannon';
import { expectOk } from '../api.ts';
import type { Stack } from '../local-stack.ts';
import { readImage, readScenes } from '../scenes.ts';
import { median, quantile } from './statistics.ts';

const TURNS = 3;
const SECONDS = 3;
const CONNECTIONS = 16;
const WARM_UP = 50;
const REQUESTS = 400;
/** Longer than what is done behind a reply. */
const PAUSE_MS = 5;
const QUESTION = 'what is in the picture?';

export type Way = {
  name: string;
  url: string;
  /** Of its next request. */
  body: () => string;
  headers?: Record<string, string>;
};

export async function replayRows(stack: Stack): Promise<string[][]> {
  const ways = waysTo(stack, await known(stack));
  for (const way of ways) await expectReplay(stack, way);
  const times = await timesOf(ways);
  const rates = await ratesOf(ways);
  const [own] = ways;
  const base = median(times.get(own?.name ?? '') ?? []);
  return [
    ['cached replies', 'time (ms)', 'p95 (ms)', 'over our own route (ms)', 'replies/s'],
    ...ways.map(({ name }) => {
      const all = times.get(name) ?? [];
      const time = median(all);
      return [
        name,
        time.toFixed(2),
        quantile(all, 0.95).toFixed(2),
        (time - base).toFixed(2),
        median(rates.get(name) ?? []).toFixed(0),
      ];
    }),
  ];
}

/** The first is our own route; the others ask the same of the same model. */
function waysTo({ model, url }: Stack, sha256: string): Way[] {
  const way = (name: string, path: string, sent: unknown): Way => {
    const body = JSON.stringify(sent);
    return { name, url: `${url}${path}`, body: () => body };
  };
  let seed = 0;
  const prediction = () =>
    JSON.stringify({ input: { image: sha256, question: QUESTION, seed: ++seed } });
  const image = { sha256 };
  const content = [
    { type: 'text', text: QUESTION },
    { type: 'image_url', image_url: { url: sha256 } },
  ];
  const input = [
    { type: 'input_text', text: QUESTION },
    { type: 'input_image', image_url: sha256 },
  ];
  const chat = { model: model.name, messages: [{ role: 'user', content }] };
  const response = { model: model.name, input: [{ role: 'user', content: input }], store: false };
  return [
    way('/v1/answers', '/v1/answers', { image, question: QUESTION }),
    way('/v1/answers, stream', '/v1/answers', { image, question: QUESTION, stream: true }),
    way('/v1/captions', '/v1/captions', { image }),
    way('/v1/chat/completions', '/v1/chat/completions', chat),
    way('/v1/chat/completions, stream', '/v1/chat/completions', { ...chat, stream: true }),
    way('/v1/responses', '/v1/responses', response),
    way('/hf/visual-question-answering', '/hf/visual-question-answering', {
      inputs: { image: sha256, question: QUESTION },
    }),
    way('/hf/image-to-text', '/hf/image-to-text', { inputs: sha256 }),
    way('/api/generate', '/api/generate', {
      model: model.name,
      prompt: QUESTION,
      images: [sha256],
      stream: false,
    }),
    way('/api/chat, stream', '/api/chat', {
      model: model.name,
      messages: [{ role: 'user', content: QUESTION, images: [sha256] }],
    }),
    way('/moondream/v1/query', '/moondream/v1/query', { image_url: sha256, question: QUESTION }),
    {
      name: '/replicate/v1/predictions, Prefer: wait',
      url: `${url}/replicate/v1/models/salesforce/blip-2/predictions`,
      body: prediction,
      headers: { prefer: 'wait' },
    },
  ];
}

/** Makes the edge know an image. */
export async function known({ url }: Stack): Promise<string> {
  const bytes = await readImage((await readScenes())[0]!);
  const response = await expectOk(
    await fetch(`${url}/v1/captions`, {
      method: 'POST',
      headers: { 'content-type': 'image/webp' },
      body: bytes,
    }),
  );
  const { image } = (await response.json()) as { image: { sha256: string } };
  return image.sha256;
}

async function ask({ url, body, headers: more }: Way): Promise<string> {
  const headers = { 'content-type': 'application/json', ...more };
  const response = await fetch(url, { method: 'POST', headers, body: body() });
  return await (await expectOk(response)).text();
}

/** @throws Error where the GPU worker takes part in what ought to be cached */
async function expectReplay(stack: Stack, way: Way): Promise<void> {
  await ask(way);
  const before = await generated(stack);
  await ask(way);
  if ((await generated(stack)) !== before) throw new Error(`${way.name}: was not replayed`);
}

/** Tokens that the GPU worker has generated. */
async function generated({ workerUrl }: Stack): Promise<number> {
  const metrics = await (await fetch(`${workerUrl}/metrics`)).text();
  return Number(/^blip2_generation_tokens_total(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1]);
}

export async function timesOf(ways: readonly Way[]): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>(ways.map(({ name }) => [name, []]));
  for (let turn = -WARM_UP; turn < REQUESTS; turn++) {
    for (const way of ways) {
      await setTimeout(PAUSE_MS);
      const start = performance.now();
      await ask(way);
      if (turn >= 0) times.get(way.name)?.push(performance.now() - start);
    }
  }
  return times;
}

export async function ratesOf(ways: readonly Way[]): Promise<Map<string, number[]>> {
  const rates = new Map<string, number[]>(ways.map(({ name }) => [name, []]));
  for (let turn = 0; turn < TURNS; turn++) {
    for (const { name, url, body, headers: more } of ways) {
      const result = await autocannon({
        url,
        requests: [
          {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...more },
            setupRequest: (request) => ({ ...request, body: body() }),
          },
        ],
        connections: CONNECTIONS,
        duration: SECONDS,
      });
      if (result.non2xx > 0) throw new Error(`${name}: ${result.non2xx} replies were not 2xx`);
      rates.get(name)?.push(result.requests.average);
    }
  }
  return rates;
}
