/** The whole chain: real edge in workerd, real KV, real GPU worker, the embedded model. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiEvent, postStream } from '../../tools/api.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { type TestImage, testImages, withNewBytes } from '../support/test-images.ts';

let stack: Stack;
let images: TestImage[];

beforeAll(async () => {
  [stack, images] = await Promise.all([startStack(), testImages(8)]);
});
afterAll(() => stack?.stop());

/** The body that fetch accepts, for which Node's types have no name. */
type Body = NonNullable<RequestInit['body']>;

/** Members of the replies that these tests check. */
type Reply = {
  caption: string;
  answer: string;
  cache: string;
  finish_reason: string;
  image: { sha256: string; format: string };
  usage: { prompt_tokens: number; completion_tokens: number };
  embeddings: number[][];
  scores: { text: string; itm: number; itc: number }[];
  choices: { text: string; score: number; logprobs: { logprob: number }[] }[];
};

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

/** A reply of before would tell nothing of embeddings. */
const MADE_NOW = { 'cache-control': 'no-cache' };

async function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  const raw = body instanceof Uint8Array || body instanceof FormData;
  const response = await fetch(`${stack.url}${path}`, {
    method: 'POST',
    headers: raw ? headers : { 'content-type': 'application/json', ...headers },
    body: raw ? (body as Body) : JSON.stringify(body),
  });
  return {
    status: response.status,
    headers: response.headers,
    json: (await response.json()) as Reply,
  };
}

const events = (path: string, body: unknown): Promise<ApiEvent[]> =>
  Array.fromAsync(postStream(`${stack.url}${path}`, body));

describe('captions', () => {
  it('are the same for every way of sending an image, and for miss and hit', async () => {
    const { bytes, sha256 } = images[0]!;
    const form = new FormData();
    form.set('image', new Blob([bytes], { type: 'image/webp' }), 'scene.webp');
    const replies = [
      await post('/v1/captions', bytes, { 'content-type': 'image/webp', ...MADE_NOW }),
      await post('/v1/captions', form, MADE_NOW),
      await post('/v1/captions', { image: { data: base64(bytes) } }, MADE_NOW),
      await post(
        '/v1/captions',
        { image: { data: `data:image/webp;base64,${base64(bytes)}` } },
        MADE_NOW,
      ),
      await post('/v1/captions', { image: { sha256 } }, MADE_NOW),
    ];
    for (const { status, json } of replies) {
      expect(status).toBe(200);
      expect(json.caption).toBe(replies[0]!.json.caption);
      expect(json.image).toMatchObject({ sha256, format: 'webp' });
      expect(json.usage.completion_tokens).toBeGreaterThan(0);
    }
    expect(replies[0]!.json.cache).toBe('miss');
    expect(replies[0]!.json.caption).toMatch(/\w/);
    for (const { json } of replies.slice(1)) expect(json.cache).toMatch(/^(colo|kv)$/);
  });

  it('stream token by token, and the tokens are the caption', async () => {
    const { bytes } = images[1]!;
    const all = await events('/v1/captions', { image: { data: base64(bytes) } });
    const names = all.map(({ event }) => event);
    expect(names.at(0)).toBe('image');
    expect(names.at(-1)).toBe('done');
    const text = all
      .filter(({ event }) => event === 'token')
      .map(({ data }) => (data as { text: string }).text)
      .join('');
    const plain = await post('/v1/captions', { image: { data: base64(bytes) } });
    expect(text).toBe(plain.json.caption);
    expect((all.at(-1)!.data as { text: string }).text).toBe(text);
    expect(names.filter((name) => name === 'token').length).toBeGreaterThan(2);
  });

  it('sampled with one seed are the same twice, and max_tokens is respected', async () => {
    const image = { data: base64(images[2]!.bytes) };
    const sampled = { image, temperature: 1.5, top_k: 40, top_p: 0.95, seed: 7, max_tokens: 5 };
    const [first, second] = [
      await post('/v1/captions', sampled),
      await post('/v1/captions', sampled),
    ];
    expect(first.json.caption).toBe(second.json.caption);
    expect(first.json.usage.completion_tokens).toBeLessThanOrEqual(5);
    const cut = await post('/v1/captions', { image, max_tokens: 1 });
    expect(cut.json).toMatchObject({ finish_reason: 'length', usage: { completion_tokens: 1 } });
  });

  it('searched with beams are several, the best first', async () => {
    const image = { data: base64(images[2]!.bytes) };
    const beams = { image, num_beams: 4, n: 3, logprobs: true, length_penalty: 0 };
    const { status, json } = await post('/v1/captions', beams);
    expect(status).toBe(200);
    const { choices } = json;
    expect(choices).toHaveLength(3);
    expect(choices[0]!.text).toBe(json.caption);
    const scores = choices.map(({ score }) => score);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    expect(new Set(choices.map(({ text }) => text)).size).toBe(3);
    const sum = choices[0]!.logprobs.reduce((total, { logprob }) => total + logprob, 0);
    // What is missing is the end token's own.
    expect(sum).toBeGreaterThanOrEqual(choices[0]!.score - 1e-3);
  });

  it('end before a stop sequence', async () => {
    const image = { data: base64(images[2]!.bytes) };
    const whole = (await post('/v1/captions', { image })).json.caption;
    const { json } = await post('/v1/captions', { image, stop: ' on' });
    expect(whole).toContain(' on ');
    expect(json).toMatchObject({ caption: whole.split(' on ')[0], finish_reason: 'stop' });
  });
});

describe('matching', () => {
  it('scores a true caption above a wrong one, by ITM and by ITC', async () => {
    for (const { bytes, scene } of images.slice(4, 7)) {
      const texts = [scene.caption, 'nine purple elephants under a piano', 'a photo of nothing'];
      const { status, json } = await post('/v1/match', { image: { data: base64(bytes) }, texts });
      expect(status).toBe(200);
      expect(json.scores.map(({ text }) => text)).toEqual(texts);
      const [right, ...wrong] = json.scores;
      for (const { itm, itc } of wrong) {
        expect(right!.itm).toBeGreaterThan(itm);
        expect(right!.itc).toBeGreaterThan(itc);
      }
    }
  });

  it('has the ITC score of the embeddings of image and text', async () => {
    const { bytes, scene } = images[4]!;
    const image = { data: base64(bytes) };
    const texts = [scene.caption, 'a dog'];
    const scored = await post('/v1/match', { image, texts });
    const imageVectors = (await post('/v1/embeddings', { image, kind: 'itc' })).json.embeddings;
    const words = (await post('/v1/embeddings', { text: texts, kind: 'itc' })).json.embeddings;
    for (const [i, { itc }] of scored.json.scores.entries()) {
      const products = imageVectors.map((query) =>
        query.reduce((sum, value, d) => sum + value * words[i]![d]!, 0),
      );
      expect(Math.abs(Math.max(...products) - itc)).toBeLessThan(1e-5);
    }
  });
});

describe('answers', () => {
  it('skip the image encoder once the image is cached', async () => {
    const { bytes, sha256, scene } = images[3]!;
    const { question } = scene.questions[0]!;
    const first = await post('/v1/answers', { image: { data: base64(bytes) }, question });
    expect(first.json.cache).toBe('miss');
    const second = await post('/v1/answers', { image: { sha256 }, question }, MADE_NOW);
    expect(second.json.cache).toMatch(/^(colo|kv)$/);
    expect(second.json.answer).toBe(first.json.answer);
    expect(second.headers.get('server-timing')).not.toContain('vision');
  });

  it('depend on the history of questions and answers', async () => {
    const { sha256 } = images[3]!;
    const history = [{ question: 'is there an animal?', answer: 'yes' }];
    const question = 'what color is the background?';
    const { status, json } = await post('/v1/answers', { image: { sha256 }, question, history });
    expect(status).toBe(200);
    const without = await post('/v1/answers', { image: { sha256 }, question });
    expect(json.usage.prompt_tokens).toBeGreaterThan(without.json.usage.prompt_tokens);
  });

  it('do not depend on concurrent requests', async () => {
    const ask = ({ bytes, scene }: TestImage, index: number) =>
      post('/v1/answers', {
        image: { data: base64(bytes) },
        question: scene.questions[index % scene.questions.length]!.question,
      });
    const together = await Promise.all(images.map(ask));
    for (const [index, image] of images.entries()) {
      const alone = await ask(image, index);
      expect(together[index]!.json.answer).toBe(alone.json.answer);
    }
  });
});

describe('embeddings', () => {
  it('are computed, cached and read in three media types', async () => {
    const bytes = await withNewBytes(images[4]!.bytes, 'embeddings');
    const made = await post('/v1/embeddings', bytes, { 'content-type': 'image/png' });
    expect(made.status).toBe(200);
    expect(made.json.cache).toBe('miss');
    const [queries, hidden] = [made.json.embeddings.length, made.json.embeddings[0]?.length ?? 0];
    const url = `${stack.url}/v1/embeddings/${made.json.image.sha256}`;
    const get = (accept: string) => fetch(url, { headers: { accept } });
    const json = (await (await get('application/json')).json()) as { embeddings: number[][] };
    expect(json.embeddings).toEqual(made.json.embeddings);
    const raw = new Float16Array(await (await get('application/octet-stream')).arrayBuffer());
    expect(raw.length).toBe(queries * hidden);
    expect([...raw]).toEqual([...new Float16Array(made.json.embeddings.flat())]);
    const npy = Buffer.from(await (await get('application/x-npy')).arrayBuffer());
    expect(npy.subarray(1, 6).toString()).toBe('NUMPY');
    expect(npy.toString('latin1')).toContain(
      `'<f4', 'fortran_order': False, 'shape': (${queries}, ${hidden})`,
    );
    expect([
      ...new Float32Array(
        npy.buffer.slice(npy.byteOffset + npy.length - 4 * raw.length, npy.byteOffset + npy.length),
      ),
    ]).toEqual(made.json.embeddings.flat());
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.status).toBe(200);
    const etag = head.headers.get('etag') ?? '';
    expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
  });

  it('of an unknown image are refused with 404', async () => {
    const response = await fetch(`${stack.url}/v1/embeddings/${'0'.repeat(64)}`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ type: '/problems/unknown-image' });
  });
});

describe('one image sent many times at once', () => {
  it('gets the same answer for all', async () => {
    const bytes = await withNewBytes(images[5]!.bytes, 'at once');
    const replies = await Promise.all(
      Array.from({ length: 6 }, () => post('/v1/captions', bytes, { 'content-type': 'image/png' })),
    );
    expect(new Set(replies.map(({ json }) => json.caption)).size).toBe(1);
    expect(replies.every(({ status }) => status === 200)).toBe(true);
  });
});
