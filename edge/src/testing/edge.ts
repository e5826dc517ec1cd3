/** The edge as tests call it: a fresh app on the real KV, its outgoing fetch answered by a fake. */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { vi } from 'vitest';
import { createApp } from '../app.ts';
import type { Env } from '../config.ts';
import { createServices } from '../dependencies.ts';
import { FakeGpu } from './fake-gpu.ts';

export type TestEdge = ReturnType<typeof startEdge>;

export function startEdge(vars: Partial<Env> = {}) {
  const gpu = new FakeGpu();
  vi.stubGlobal('fetch', gpu.fetch);
  const bindings = { ...(env as unknown as Env), ...vars };
  const app = createApp(createServices(bindings));
  const contexts: ExecutionContext[] = [];

  const request = async (path: string, init?: RequestInit): Promise<Response> => {
    const context = createExecutionContext();
    contexts.push(context);
    return app.fetch(new Request(`http://edge.test${path}`, init), bindings, context);
  };
  /** Waits for what goes on behind the responses. */
  const settled = () => Promise.all(contexts.splice(0).map((c) => waitOnExecutionContext(c)));

  const post = (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const isJson = !(body instanceof Uint8Array || body instanceof FormData);
    return request(path, {
      method: 'POST',
      headers: isJson ? { 'content-type': 'application/json', ...headers } : headers,
      body: isJson ? JSON.stringify(body) : body,
    });
  };
  return { gpu, request, post, settled, kv: bindings.EMBEDDINGS };
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

/** Bytes that pass for a PNG and are no other test's. */
export function newImage(size = 64): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  new DataView(bytes.buffer).setUint32(8, ++serial);
  crypto.getRandomValues(bytes.subarray(12, 64));
  return bytes;
}

export const base64 = (bytes: Uint8Array) => bytes.toBase64();

export async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).toHex();
}
