/** An item of a job gets the reply that the same request gets by itself. */
import { encodeEvent } from '@blip2/shared/gpu-events';
import { expect, test } from 'vitest';
import { createApp } from '../app.ts';
import type { GpuReplyEvent } from '../gpu/client.ts';
import { base64, newImage, startEdge, testContext } from '../testing/edge.ts';
import { generative, retrieval } from '../testing/models.ts';
import type { BatchLine } from './contract.ts';
import { performCommit } from './perform-commit.ts';
import { Rehearser } from './rehearsal.ts';

/** Stands for an image that nobody else sends. */
const IMAGE = 'IMAGE';
const data = { data: IMAGE };
const url = `data:image/png;base64,${IMAGE}`;
const chat = (content: unknown, more: object = {}) => ({
  model: generative.name,
  messages: [{ role: 'user', content }],
  ...more,
});
const shown = [
  { type: 'text', text: 'What is it?' },
  { type: 'image_url', image_url: { url } },
];

/** What is of one request alone: its names and times, and what the caches had. */
const OWN = new Set(['id', 'created', 'created_at', 'completed_at', 'cache', 'timings_ms']);

function common(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(common);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !OWN.has(name))
      .map(([name, member]) => [name, common(member)]),
  );
}

test.each<[string, object]>([
  ['/v1/captions', { image: data }],
  ['/v1/captions', { image: data, prompt: 'a photo of', max_tokens: 3 }],
  ['/v1/captions', { image: { url }, logprobs: true, top_logprobs: 2 }],
  ['/v1/captions', { image: data, stop: ['dog'] }],
  ['/v1/captions', { image: data, n: 2, temperature: 0.5, seed: 3 }],
  ['/v1/captions', { image: data, num_beams: 3 }],
  ['/v1/answers', { image: data, question: 'What is it?' }],
  ['/v1/match', { image: data, texts: ['a dog', 'a cat on a mat'] }],
  ['/v1/embeddings', { image: data }],
  ['/v1/embeddings', { image: data, kind: 'itc' }],
  ['/v1/embeddings', { text: ['a dog', 'a cat'], kind: 'itc' }],
  ['/v1/embeddings', { model: retrieval.name, input: ['a dog'] }],
  ['/v1/embeddings', { model: retrieval.name, input: [url] }],
  ['/v1/chat/completions', chat(shown)],
  ['/v1/chat/completions', chat(shown, { logprobs: true, max_tokens: 2 })],
  [
    '/v1/responses',
    {
      model: generative.name,
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is it?' },
            { type: 'input_image', image_url: url },
          ],
        },
      ],
    },
  ],
])('%s %o', async (path, template) => {
  const text = JSON.stringify(template).replaceAll(IMAGE, base64(newImage()));
  const body = JSON.parse(text) as Record<string, unknown>;
  const { deps, gpu, post, settled } = startEdge();
  gpu.script.others = [' a cat', ' a bird'];
  const images: Uint8Array[] = [];
  const rehearser = new Rehearser({
    deps,
    createApp,
    storeImage: async (_, bytes) => {
      images.push(bytes);
    },
    waitUntil: () => {},
  });
  const line: BatchLine = { custom_id: 'a', method: 'POST', url: path, body };
  const order = {
    job: 'e'.repeat(96),
    part: 0,
    items: 1,
    owner: 'o',
    client: 'c',
    namespace: 'a'.repeat(32),
    cacheEmbeddings: false,
    isOfBucket: false,
    expiresAt: 0,
  };
  const owner = { namespace: order.namespace, name: 'job-1', isOfBucket: false };
  const rehearsed = await rehearser.rehearse(line, owner);
  if (rehearsed.kind !== 'work') throw new Error(JSON.stringify(rehearsed));
  const { work } = rehearsed;
  const [bytes] = images;
  const source = bytes === undefined ? null : ({ type: 'image', payload: bytes } as const);
  const events: GpuReplyEvent[] = await Array.fromAsync(
    deps.gpu.run(work.task, source, testContext().context),
  );
  const frames = new Uint8Array(await new Blob(events.map(encodeEvent)).arrayBuffer()).toBase64();
  const sha256 = 'sha256' in work.source ? work.source.sha256 : undefined;
  const open = {
    item: 0,
    line: JSON.stringify(line),
    work,
    sentAt: 0,
    sends: 1,
    begun: 0,
    returns: 0,
  };
  const outcome = { kind: 'frames', frames, ...(sha256 && { sha256 }) } as const;
  const { ended } = await performCommit(rehearser, order, open, outcome);
  const result = JSON.parse(ended.line);
  // Also where the reply's own JSON was left as it is.
  expect(JSON.stringify(result)).toBe(ended.line);

  const direct = await post(path, body, { 'cache-control': 'no-cache' });
  await settled();
  expect(result.status).toBe(direct.status);
  expect(direct.status).toBe(200);
  expect(common(result.body)).toEqual(common(await direct.json()));
  // The same was asked of the worker.
  const [ours, theirs] = gpu.received.map(({ request }) => {
    if (request.kind !== 'generate') return { kind: request.kind };
    // Seeds are drawn where a request has none.
    return { ids: request.input_ids, generation: { ...request.generation, seed: 0 } };
  });
  expect(ours).toEqual(theirs);
});
