/** The edge as tests call it: a fresh app on the real KV and cache, its outgoing fetch answered by a fake. */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import type { ServedModels } from '@blip2/shared/served-models';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { createApp } from '../app.ts';
import { bundledModels } from '../bundled-models.ts';
import { createDependencies, type Dependencies } from '../dependencies.ts';
import type { Env, Platform } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';
import { openApiDocument } from '../routes/openapi/document.ts';
import { ROUTES } from '../routes/routes.ts';
import { type ApiDocument, expectDescribed } from './described.ts';
import { FakeGpu } from './fake-gpu.ts';

export type TestEdge = ReturnType<typeof startEdge>;

/** Differences of a test from the Worker: variables and bindings, the platform, the models. */
export type TestSetup = {
  env?: Partial<Env>;
  platform?: Partial<Platform>;
  models?: ServedModels;
};

let document: ApiDocument | undefined;

/** The description of the API: that of the first edge, since only its limits differ from those of the others. */
export function apiDocument(deps: Dependencies): ApiDocument {
  document ??= openApiDocument(ROUTES, deps) as ApiDocument;
  return document;
}

export const testEnv = env as unknown as Env;

export function startEdge(setup: TestSetup = {}) {
  const gpu = new FakeGpu();
  const bindings = { ...testEnv, ...setup.env };
  const deps = createDependencies(bindings, setup.models ?? bundledModels, {
    fetch: gpu.fetch,
    coloCache: caches.default,
    now: () => Date.now(),
    randomSeed: () => 7,
    ...setup.platform,
  });
  const app = createApp(deps);
  const contexts: ExecutionContext[] = [];

  const request = async (
    path: string,
    init?: RequestInit,
    origin = 'http://edge.test',
  ): Promise<Response> => {
    const context = createExecutionContext();
    contexts.push(context);
    const sent = new Request(`${origin}${path}`, init);
    const { url, method } = sent;
    const response = await app.fetch(sent, bindings, context);
    await expectDescribed(apiDocument(deps), { url, method }, response);
    return response;
  };
  /** Waits for the work that continues after the responses. */
  const settled = () => Promise.all(contexts.splice(0).map((c) => waitOnExecutionContext(c)));

  const post = (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const isJson = !(body instanceof Uint8Array || body instanceof FormData);
    return request(path, {
      method: 'POST',
      headers: isJson ? { 'content-type': 'application/json', ...headers } : headers,
      body: isJson ? JSON.stringify(body) : body,
    });
  };
  return { gpu, deps, request, post, settled, kv: bindings.EMBEDDINGS };
}

/** The context of a request for tests below the routes; `settled` waits for the work that continues after it. */
export function testContext(change: Partial<RequestContext> = {}) {
  const work: Promise<unknown>[] = [];
  const context: RequestContext = {
    requestId: 'test',
    namespace: '',
    startedAt: Date.now(),
    signal: new AbortController().signal,
    deadlineAt: Date.now() + 10_000,
    waitUntil: (promise) => work.push(promise),
    ...change,
  };
  return { context, settled: () => Promise.all(work.splice(0)) };
}

export type TestEvent = { event: string | undefined; data: Record<string, unknown> };

export async function eventsOf(response: Response): Promise<TestEvent[]> {
  const stream = response.body
    ?.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  const events: TestEvent[] = [];
  for await (const { event, data } of stream ?? []) events.push({ event, data: JSON.parse(data) });
  return events;
}

let serial = 0;

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** A chunk has a length and a type before it, and a checksum behind it. */
const CHUNK_BYTES = 12;

/** Bytes that pass for a whole PNG and are no other test's: chunks of pixels, which are none, and of the end. */
export function newImage(size = 64): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const [pixels, end] = [SIGNATURE.length, size - CHUNK_BYTES];
  bytes.set(SIGNATURE);
  view.setUint32(pixels, end - pixels - CHUNK_BYTES);
  bytes.set(new TextEncoder().encode('IDAT'), pixels + 4);
  crypto.getRandomValues(bytes.subarray(pixels + 8, Math.min(end, 64)));
  view.setUint32(pixels + 8, ++serial);
  bytes.set(new TextEncoder().encode('IEND'), end + 4);
  return bytes;
}

export const base64 = (bytes: Uint8Array) => bytes.toBase64();
