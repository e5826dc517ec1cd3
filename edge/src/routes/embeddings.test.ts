import { decodeEmbeddings } from '@blip2/shared/embedding-codec';
import { Problem } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { EmbeddingsReply, TextEmbeddingsReply } from '@blip2/shared/schemas/embeddings';
import { beforeEach, describe, expect, it } from 'vitest';
import { newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { EMBEDDINGS } from '../testing/fake-gpu.ts';
import { generative, retrieval } from '../testing/models.ts';

const shape = { numQueries: generative.num_query_tokens, hidden: generative.qformer_hidden };
const { values } = decodeEmbeddings(EMBEDDINGS, shape);

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

async function cacheOne(): Promise<{ path: string; reply: EmbeddingsReply }> {
  const imageBytes = newImage();
  const response = await edge.post('/v1/embeddings', imageBytes, { 'content-type': 'image/png' });
  expect(response.status).toBe(200);
  return {
    path: `/v1/embeddings/${await imageIdOf(imageBytes)}`,
    reply: EmbeddingsReply.parse(await response.json()),
  };
}

const get = (path: string, headers: Record<string, string> = {}) => edge.request(path, { headers });

describe('cached embeddings', () => {
  it('are read as JSON, fp16 and npy, never from the GPU worker', async () => {
    const { path, reply } = await cacheOne();
    expect(reply).toMatchObject({ cache: 'miss', image: { width: 40, height: 30 } });
    edge.gpu.script.isGone = true;
    const json = EmbeddingsReply.parse(await (await get(path)).json());
    expect(json.embeddings).toEqual(reply.embeddings);
    expect(json.embeddings.flat()).toEqual([...values]);
    const raw = await get(path, { accept: 'application/octet-stream' });
    expect([...new Float16Array(await raw.arrayBuffer())]).toEqual([...values]);
    expect(raw.headers.get('x-shape')).toBe(`${shape.numQueries}, ${shape.hidden}`);
    const npy = await get(path, { accept: 'application/x-npy, */*;q=0.1' });
    expect(npy.headers.get('content-type')).toBe('application/x-npy');
    expect(edge.gpu.received).toHaveLength(1);
  });

  it('are not sent again to a client that has them', async () => {
    const { path } = await cacheOne();
    const tags = new Set<string>();
    for (const accept of ['application/json', 'application/octet-stream', 'application/x-npy']) {
      const etag = (await get(path, { accept })).headers.get('etag') ?? '';
      expect(etag.startsWith('W/')).toBe(accept === 'application/json');
      tags.add(etag);
      const again = await get(path, {
        accept,
        'if-none-match': `"x", W/${etag.replace('W/', '')}`,
      });
      expect(again.status).toBe(304);
      expect(await again.text()).toBe('');
    }
    expect(tags.size).toBe(3);
  });

  it('answer HEAD without a body', async () => {
    const { path } = await cacheOne();
    const response = await edge.request(path, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(1000);
    expect(await response.text()).toBe('');
  });

  it('are refused in another media type, before an image is read', async () => {
    const { path } = await cacheOne();
    const accept = 'image/png';
    const replies = [
      await get(path, { accept }),
      await edge.post('/v1/embeddings', newImage(), { 'content-type': 'image/png', accept }),
    ];
    for (const reply of replies) {
      expect(reply.status).toBe(406);
      const { detail } = Problem.parse(await reply.json());
      expect(detail).toContain('application/octet-stream (float16 in little endian)');
      expect(detail).toContain('application/x-npy');
    }
    expect(edge.gpu.received).toHaveLength(1);
  });

  it('have the same bytes when they are computed as when they are read', async () => {
    for (const kind of ['query', 'itc']) {
      for (const accept of ['application/octet-stream', 'application/x-npy']) {
        const headers = { 'content-type': 'image/png', accept };
        const made = await edge.post(`/v1/embeddings?kind=${kind}`, newImage(), headers);
        expect(made.status).toBe(200);
        const read = await get(made.headers.get('content-location') ?? '', { accept });
        expect(await made.bytes()).toEqual(await read.bytes());
        for (const name of ['content-type', 'x-shape', 'x-dtype']) {
          expect(made.headers.get(name), name).toBe(read.headers.get(name));
        }
        expect(made.headers.get('content-type')).toBe(accept);
      }
    }
  });

  it('say the type of their values', async () => {
    const { path } = await cacheOne();
    const dtype = async (accept: string) => (await get(path, { accept })).headers.get('x-dtype');
    expect(await dtype('application/octet-stream')).toBe('float16');
    expect(await dtype('application/x-npy')).toBe('float32');
    expect(await dtype('application/json')).toBeNull();
  });

  it('are read by a hash in capitals', async () => {
    const { path } = await cacheOne();
    const [, hash = ''] = /([0-9a-f]{64})/.exec(path) ?? [];
    expect((await get(path.replace(hash, hash.toUpperCase()))).status).toBe(200);
  });

  it('are computed once', async () => {
    const imageBytes = newImage();
    const send = () => edge.post('/v1/embeddings', imageBytes, { 'content-type': 'image/png' });
    await (await send()).json();
    expect(EmbeddingsReply.parse(await (await send()).json()).cache).toBe('colo');
    expect(edge.gpu.received).toHaveLength(1);
  });
});

it.each([
  ['an unknown hash', '0'.repeat(64), 404, 'unknown-image'],
  ['what is no hash', 'abc', 400, 'invalid-request'],
])('%s in the path is refused with its name', async (_name, hash, status, slug) => {
  const response = await get(`/v1/embeddings/${hash}`);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ type: `/problems/${slug}`, field: 'sha256' });
});

it.each([
  ['kind=query&kind=itc', 'kind is given twice.'],
  ['kind[]=query&kind[]=itc', 'kind: must be one of query, itc.'],
  ['instruction=%ff', 'instruction: the text is not UTF-8: encode it so.'],
])('the query %s is refused', async (query, detail) => {
  const response = await get(`/v1/embeddings/${'0'.repeat(64)}?${query}`);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ type: '/problems/invalid-request', detail });
});

describe('embeddings of ITC', () => {
  it('that are not cached are asked for by their kind, though query embeddings are', async () => {
    const { path } = await cacheOne();
    const response = await get(`${path}?kind=itc`);
    expect(response.status).toBe(404);
    const { type, detail } = Problem.parse(await response.json());
    expect(type).toBe('/problems/unknown-image');
    expect(detail).toBe(
      'No ITC embeddings are cached for this image: POST it to /v1/embeddings with kind itc once.',
    );
  });

  it('of an image are cached apart from its query embeddings, and read by their kind', async () => {
    const imageBytes = newImage();
    const type = { 'content-type': 'image/png' };
    const query = await edge.post('/v1/embeddings', imageBytes, type);
    expect(await query.json()).toMatchObject({ kind: 'query', cache: 'miss' });
    const response = await edge.post('/v1/embeddings?kind=itc', imageBytes, type);
    const reply = EmbeddingsReply.parse(await response.json());
    expect(reply).toMatchObject({ kind: 'itc', cache: 'miss', model: retrieval.name });
    expect(edge.gpu.received.at(-1)?.request).toMatchObject({
      kind: 'embed',
      embedding: 'itc',
      revision: retrieval.revision,
    });
    const path = `/v1/embeddings/${await imageIdOf(imageBytes)}`;
    const cached = EmbeddingsReply.parse(await (await get(`${path}?kind=itc`)).json());
    expect(cached.embeddings).toEqual(reply.embeddings);
    const tags = [await get(path), await get(`${path}?kind=itc`)].map((one) =>
      one.headers.get('etag'),
    );
    expect(new Set(tags).size).toBe(2);
    expect(edge.gpu.received).toHaveLength(2);
  });

  it('of texts need no image', async () => {
    const { cls_token_id, sep_token_id } = retrieval;
    for (const text of ['a dog', ['a dog', 'a cat on a mat']]) {
      const response = await edge.post('/v1/embeddings', { kind: 'itc', text });
      const reply = TextEmbeddingsReply.parse(await response.json());
      const texts = [text].flat();
      const ids = texts.map((one) => [
        cls_token_id,
        ...retrieval.tokenizer().encode(one),
        sep_token_id,
      ]);
      expect(reply.embeddings).toEqual(ids.map(({ length }) => [length, 0]));
      expect(edge.gpu.received.at(-1)).toMatchObject({ with: 'nothing', request: { texts: ids } });
    }
  });

  it('of texts are offered in the same media types', async () => {
    const body = { kind: 'itc', text: ['a dog', 'a cat on a mat'] };
    const reply = TextEmbeddingsReply.parse(await (await edge.post('/v1/embeddings', body)).json());
    const accept = (type: string) => edge.post('/v1/embeddings', body, { accept: type });
    const npy = await accept('application/x-npy');
    const file = await npy.bytes();
    expect(npy.headers.get('x-shape')).toBe('2, 2');
    expect(npy.headers.get('x-dtype')).toBe('float32');
    expect([...new Float32Array(file.slice(-16).buffer)]).toEqual(reply.embeddings.flat());
    const raw = await (await accept('application/octet-stream')).arrayBuffer();
    expect([...new Float16Array(raw)]).toEqual(reply.embeddings.flat());
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['a text of the kind query', { text: 'a dog' }, 'kind'],
    ['neither image nor text', { kind: 'itc' }, 'image'],
    ['an unknown kind', { kind: 'clip', text: 'a dog' }, 'kind'],
    ['image and text', { kind: 'itc', text: 'a', image: { sha256: 'a'.repeat(64) } }, 'text'],
  ])('are refused for %s', async (_name, body, field) => {
    const response = await edge.post('/v1/embeddings', body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ field });
    expect(edge.gpu.received).toEqual([]);
  });
});
