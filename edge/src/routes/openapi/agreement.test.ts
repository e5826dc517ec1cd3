/** The edge and its OpenAPI document agree: what may be sent is accepted, and what comes is what is described. */
import { createKey, keyName } from '@blip2/shared/api-key';
import { ApiError, PROBLEMS, type ProblemSlug } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { type Schema, Validator } from '@cfworker/json-schema';
import { beforeEach, describe, expect, it } from 'vitest';
import type { CallerObjects } from '../../limits/limiter.ts';
import type { Operation } from '../../testing/described.ts';
import {
  apiDocument,
  base64,
  eventsOf,
  newImage,
  startEdge,
  type TestEdge,
  type TestSetup,
  testEnv,
} from '../../testing/edge.ts';
import { generative, instructedModels } from '../../testing/models.ts';
import { WorkInHand } from '../../work-in-hand.ts';

const document = apiDocument(startEdge().deps);
/** Our own: those of dialects are JSON alone. */
const POSTS = Object.entries(document.paths).flatMap(([path, { post }]) =>
  path.startsWith('/v1/') && post?.requestBody?.content['image/*'] !== undefined
    ? [[path, post] as const]
    : [],
);

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
  edge.gpu.script.others = [' two dogs\n'];
});

/** What a request needs beside an image. */
const NEEDED: Record<string, Record<string, unknown>> = {
  '/v1/answers': { question: 'what is it?' },
  '/v1/match': { texts: ['a dog'] },
};

/** A valid request: members beside those that it needs anyway. */
function bodyOf(path: string, members: Record<string, unknown> = {}) {
  return { image: { data: base64(newImage()) }, ...NEEDED[path], ...members };
}

/** Schemas of components closed, so that a member that is not described is an error. */
const closed = Object.fromEntries(
  Object.entries(document.components.schemas).map(([name, schema]) => [name, close(schema)]),
);

function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([k, inner]) => [k, close(inner)]));
  return 'properties' in value && value.properties !== undefined && 'type' in value
    ? { additionalProperties: false, ...members }
    : members;
}

function expectValid(schema: object | undefined, value: unknown): void {
  const all = { ...schema, components: { schemas: closed } } as Schema;
  expect(new Validator(all, '2020-12', false).validate(value).errors).toEqual([]);
}

/** Expects a reply of a status and media type, whose body follows its schema. */
async function expectReply(operation: Operation, response: Response, status: number, type: string) {
  const said = response.status === status ? '' : await response.clone().text();
  expect(response.status, said).toBe(status);
  expect(response.headers.get('content-type')?.split(';')[0] ?? '').toBe(type);
  const { content, headers = {} } = operation.responses[status] ?? {};
  for (const name of Object.keys(headers)) {
    const value = response.headers.get(name);
    const { schema = {} } = document.components.headers[name] ?? {};
    const isNumber = (schema as { type?: string }).type === 'integer';
    if (value !== null) expectValid(schema, isNumber ? Number(value) : value);
  }
  const schema = content?.[type]?.schema as { contentSchema?: object } | undefined;
  if (type.endsWith('json')) expectValid(schema, await response.json());
  if (type === 'text/event-stream') {
    expectValid(schema?.contentSchema, await eventsOf(response));
  }
}

describe.each(POSTS)('POST %s', (path, operation) => {
  const json = 'application/json';

  it('replies as described, to JSON, to a form and to the image itself', async () => {
    const form = new FormData();
    form.set('image', new Blob([newImage()], { type: 'image/png' }));
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(NEEDED[path] ?? {})) {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      form.set(name, text);
      query.set(name, text);
    }
    const raw = edge.post(`${path}?${query}`, newImage(), { 'content-type': 'image/png' });
    for (const sent of [edge.post(path, bodyOf(path)), edge.post(path, form), raw]) {
      await expectReply(operation, await sent, 200, json);
    }
  });

  const fields = operation.parameters.filter((parameter) => parameter.in === 'query');

  it('has the same members in the query as in its form and its JSON', () => {
    const { content } = operation.requestBody!;
    const { properties } = content['multipart/form-data']!.schema as { properties: object };
    type OneOrSeveral = { $ref?: string; anyOf?: { $ref: string }[] };
    const { $ref, anyOf } = content[json]!.schema as OneOrSeveral;
    const name = ($ref ?? anyOf?.[0]?.$ref)!.split('/').at(-1)!;
    const ofJson = document.components.schemas[name] as { properties: object };
    const names = ['image', ...fields.map(({ name }) => name)].toSorted();
    expect(Object.keys(properties).toSorted()).toEqual(names);
    expect(Object.keys(ofJson.properties).toSorted()).toEqual(names);
  });

  /** What a member needs beside it to make sense. */
  const COMPANIONS: Record<string, Record<string, string>> = {
    n: { temperature: '1' },
    num_return_sequences: { temperature: '1' },
    top_logprobs: { logprobs: 'true' },
  };
  // Texts have no image: they are embedded below.
  const withImage = fields.filter(({ name }) => name !== 'text');

  it.each(withImage)('takes $name in the query and in a form', async ({ name, ...parameter }) => {
    const example = parameter.example ?? parameter.content?.[json]?.example;
    expect(example).toBeDefined();
    // Only some models read one, which is refused elsewhere.
    const reader = name === 'instruction' ? startEdge({ models: instructedModels(60) }) : edge;
    const text = typeof example === 'string' ? example : JSON.stringify(example);
    const members = { ...COMPANIONS[name], [name]: text };
    const form = new FormData();
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(NEEDED[path] ?? {})) {
      const needed = typeof value === 'string' ? value : JSON.stringify(value);
      form.set(key, needed);
      query.set(key, needed);
    }
    for (const [key, value] of Object.entries(members)) {
      form.set(key, value);
      query.set(key, value);
    }
    form.set('image', new Blob([newImage()], { type: 'image/png' }));
    const type = name === 'stream' ? 'text/event-stream' : json;
    await expectReply(operation, await reader.post(path, form), 200, type);
    const headers = { 'content-type': 'image/png' };
    const raw = await reader.post(`${path}?${query}`, newImage(), headers);
    await expectReply(operation, raw, 200, type);
    query.set('image', base64(newImage()));
    const fields = new TextEncoder().encode(query.toString());
    const encoded = { 'content-type': 'application/x-www-form-urlencoded' };
    await expectReply(operation, await reader.post(path, fields, encoded), 200, type);
  });

  it('replies to the members of its replies that are asked for', async () => {
    if (operation.responses[200]?.content?.['text/event-stream'] === undefined) return;
    const members = { n: 2, temperature: 1, logprobs: true, top_logprobs: 2 };
    await expectReply(operation, await edge.post(path, bodyOf(path, members)), 200, json);
    const streamed = await edge.post(path, bodyOf(path, { ...members, stream: true }));
    await expectReply(operation, streamed, 200, 'text/event-stream');
    edge.gpu.script.failLate = new ApiError('deadline-exceeded', 'Too late.').toProblem();
    const failed = await edge.post(path, bodyOf(path, { stream: true }));
    await expectReply(operation, failed, 200, 'text/event-stream');
  });

  it.each(slugsOf(operation))('can reply %s', async (slug) => {
    const response = await provoke(slug, path);
    expect(await response.clone().json()).toMatchObject({ type: `/problems/${slug}` });
    await expectReply(operation, response, PROBLEMS[slug].status, 'application/problem+json');
  });
});

it('texts are embedded as described', async () => {
  const { post } = document.paths['/v1/embeddings']!;
  const body = { text: ['a dog', 'two dogs'], kind: 'itc' };
  await expectReply(post!, await edge.post('/v1/embeddings', body), 200, 'application/json');
});

describe('GET', () => {
  it('/v1/embeddings/{sha256} replies as described', async () => {
    const operation = document.paths['/v1/embeddings/{sha256}']!.get!;
    const bytes = newImage();
    await edge.post('/v1/embeddings', { image: { data: base64(bytes) } });
    await edge.settled();
    const path = `/v1/embeddings/${await imageIdOf(bytes)}`;
    for (const accept of Object.keys(operation.responses[200]!.content!)) {
      const response = await edge.request(path, { headers: { accept } });
      const etag = response.headers.get('etag') ?? '';
      await expectReply(operation, response, 200, accept);
      const headers = { accept, 'if-none-match': etag };
      await expectReply(operation, await edge.request(path, { headers }), 304, '');
    }
  });

  it.each([
    ['/healthz', '/healthz', 'application/json'],
    ['/v1/usage', '/v1/usage', 'application/json'],
    ['/openapi.json', '/openapi.json', 'application/json'],
    ['/', '/', 'text/html'],
    ['/problems/{slug}', '/problems/no-image', 'text/plain'],
  ])('%s replies as described', async (path, requested, type) => {
    const response = await edge.request(requested);
    await expectReply(document.paths[path]!.get!, response, 200, type);
  });

  const READS: Partial<Record<ProblemSlug, [path: string, setup?: TestSetup, accept?: string]>> = {
    'invalid-request': ['/v1/embeddings/abc'],
    'not-acceptable': [`/v1/embeddings/${'0'.repeat(64)}`, {}, 'text/html'],
    'unknown-image': [`/v1/embeddings/${'0'.repeat(64)}`],
    'no-retrieval-model': [
      `/v1/embeddings/${'0'.repeat(64)}?kind=itc`,
      { models: { generate: generative } },
    ],
    'cache-unavailable': [`/v1/embeddings/${'1'.repeat(64)}`, kvDown()],
  };
  const reading = document.paths['/v1/embeddings/{sha256}']!.get!;
  it.each(slugsOf(reading))('/v1/embeddings/{sha256} can reply %s', async (slug) => {
    const [path, setup, accept] = READS[slug] ?? [];
    const refusal = await refusedCaller(slug);
    const { deps, request } = startEdge(refusal?.setup ?? setup);
    if (slug === 'overloaded') deps.work = new WorkInHand(0);
    const response = await request(path ?? `/v1/embeddings/${'0'.repeat(64)}`, {
      headers: { ...(accept && { accept }), ...refusal?.headers },
    });
    expect(await response.clone().json()).toMatchObject({ type: `/problems/${slug}` });
    await expectReply(reading, response, PROBLEMS[slug].status, 'application/problem+json');
  });
});

it('every operation can fail as described, and refuses other methods', async () => {
  const broken = startEdge({
    platform: {
      now: () => {
        throw new Error('a broken clock');
      },
    },
  });
  for (const [template, item] of Object.entries(document.paths)) {
    const path = template.replace('{sha256}', '0'.repeat(64)).replace('{slug}', 'x');
    for (const [method, operation] of Object.entries(item)) {
      const types = Object.keys(operation.responses[500]?.content ?? {});
      const type = types.find((offered) => offered.includes('problem')) ?? types[0]!;
      await expectReply(operation, await broken.request(path, { method }), 500, type);
      await expectReply(operation, await edge.request(path, { method: 'PUT' }), 405, type);
    }
  }
});

/** The problems of an operation, but for those of every operation. */
function slugsOf(operation: Operation): ProblemSlug[] {
  const problems = JSON.stringify(Object.values(operation.responses).map(({ content }) => content));
  return [...problems.matchAll(/"\/problems\/([\w-]+)"/g)]
    .map(([, slug]) => slug as ProblemSlug)
    .filter((slug) => slug !== 'internal-error' && slug !== 'method-not-allowed');
}

function kvDown(): TestSetup {
  const EMBEDDINGS = new Proxy(testEnv.EMBEDDINGS, {
    get: () => () => Promise.reject(new Error('KV is down')),
  });
  return { env: { EMBEDDINGS } };
}

/** An edge and the headers of a request whose caller it refuses so; none where the problem is not one of callers. */
async function refusedCaller(
  slug: ProblemSlug,
): Promise<{ setup: TestSetup; headers: Record<string, string> } | undefined> {
  const key = createKey();
  const headers = { 'x-api-key': key };
  const setup = { env: { ALLOW_ANONYMOUS: '' } };
  switch (slug) {
    case 'missing-key':
      return { setup, headers: {} };
    case 'invalid-key':
      return { setup, headers };
    case 'key-out-of-scope': {
      const record = JSON.stringify({ name: 'none', scopes: [], created_at: 0 });
      await (testEnv.KEYS as KVNamespace).put(await keyName(key), record);
      return { setup, headers };
    }
    case 'not-configured':
      return { setup: { env: { ALLOW_ANONYMOUS: '', KEYS: undefined as never } }, headers };
    case 'keys-unavailable':
      return {
        setup: { env: { ALLOW_ANONYMOUS: '', KEYS: kvDown().env?.EMBEDDINGS as never } },
        headers,
      };
    case 'quota-exceeded': {
      const objects = testEnv.LIMITS as CallerObjects;
      const limits = { requests: 1, tokens: null, images: null, streams: null };
      await objects.getByName('address/192.0.2.1').admit(limits, 0, 1);
      return {
        setup: { env: { ANONYMOUS_REQUESTS_PER_MINUTE: '1' } },
        headers: { 'cf-connecting-ip': '192.0.2.1' },
      };
    }
    case 'limits-unavailable': {
      const admit = () => Promise.reject(new Error('down'));
      const LIMITS = { getByName: () => ({ admit, usage: admit }) } as unknown as CallerObjects;
      return { setup: { env: { LIMITS, ANONYMOUS_OPEN_STREAMS: '1' } }, headers: {} };
    }
    default:
      return undefined;
  }
}

/** Sends what gets this problem in reply. */
async function provoke(slug: ProblemSlug, path: string): Promise<Response> {
  const refusal = await refusedCaller(slug);
  if (refusal !== undefined) {
    return startEdge(refusal.setup).post(path, bodyOf(path), refusal.headers);
  }
  const { post, gpu } = edge;
  const image = (value: unknown) => post(path, { ...bodyOf(path), image: value });
  const long = 'dog '.repeat(400);
  switch (slug) {
    case 'invalid-request':
      return post(path, bodyOf(path, { color: 'red' }));
    case 'invalid-json':
      return post(path, new TextEncoder().encode('{'), { 'content-type': 'application/json' });
    case 'no-image':
      return post(path, { ...NEEDED[path] });
    case 'several-images':
      return image({ data: base64(newImage()), sha256: '0'.repeat(64) });
    case 'invalid-multipart':
      return post(path, new TextEncoder().encode('x'), {
        'content-type': 'multipart/form-data; boundary=y',
      });
    case 'invalid-content-encoding':
      return post(path, bodyOf(path), { 'content-encoding': 'gzip' });
    case 'unsupported-content-encoding':
      return post(path, bodyOf(path), { 'content-encoding': 'x' });
    case 'not-acceptable':
      return post(path, bodyOf(path), { accept: 'text/html' });
    case 'invalid-base64':
      return image({ data: '!!!' });
    case 'invalid-image':
      return image({ data: btoa('x'.repeat(50)) });
    case 'unsupported-media-type':
      return image({ data: btoa('%PDF-1.7') });
    case 'image-url-refused':
      return image({ url: 'http://127.0.0.1/a.png' });
    case 'image-url-failed':
      return image({ url: 'https://gone.example/a.png' });
    case 'body-too-large':
      return image({ data: base64(newImage(150_000)) });
    case 'prompt-too-long':
      return path === '/v1/embeddings'
        ? post(path, { text: long, kind: 'itc' })
        : post(
            path,
            bodyOf(path, {
              [Object.keys(NEEDED[path] ?? { prompt: 0 })[0]!]:
                path === '/v1/match' ? [long] : long,
            }),
          );
    case 'unknown-image':
      return image({ sha256: '0'.repeat(64) });
    case 'cache-unavailable':
      return startEdge(kvDown()).post(path, { ...bodyOf(path), image: { sha256: '1'.repeat(64) } });
    case 'no-retrieval-model':
      return startEdge({ models: { generate: generative } }).post(
        path,
        bodyOf(path, path === '/v1/embeddings' ? { kind: 'itc' } : {}),
      );
    case 'worker-unavailable':
      gpu.script.isGone = true;
      return post(path, bodyOf(path));
    case 'bad-gateway':
      gpu.script.raw = new Uint8Array(64).fill(9);
      return post(path, bodyOf(path));
    default:
      // What only the GPU worker finds out.
      gpu.script.refuse = new ApiError(slug, 'As the GPU worker says.', {
        ...([429, 503].includes(PROBLEMS[slug].status) && { retry_after: 1 }),
        ...(slug === 'too-many-requests' && { limit: 36 }),
      });
      return post(path, bodyOf(path));
  }
}
