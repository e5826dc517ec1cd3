/**
 * Reads along: every reply of an edge to this process, whichever client asked, must be as the edge's OpenAPI document says.
 * Node's `fetch` tells what passes over its sockets, so that nothing stands between a client and the service.
 */
import { subscribe } from 'node:diagnostics_channel';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, expect } from 'vitest';
import { type ApiDocument, type Reply, readerOf } from './described-reply.ts';

/** What undici tells of a request; members that we read. */
type Sent = { origin: string; method: string; path: string };
type Message = {
  request: Sent;
  response?: { statusCode: number; headers: Buffer[] };
  chunk?: Uint8Array;
};
type Passing = { request: Sent; status: number; headers: Headers; chunks: Uint8Array[] };

/** Folders whose tests are read along with. */
const FOLDERS = /\/test\/(end-to-end|clients|description)\//;

const passing = new Map<Sent, Passing>();
const readers = new Map<string, Promise<((reply: Reply) => string[]) | null>>();
const checks: Promise<string[]>[] = [];

/** By the document of this address; null where there is none, as at the GPU worker. */
async function readerAt(origin: string): Promise<((reply: Reply) => string[]) | null> {
  const response = await fetch(`${origin}/openapi.json`).catch(() => null);
  if (response?.status !== 200) return null;
  return readerOf((await response.json()) as ApiDocument);
}

function on(channel: string, listener: (message: Message) => void): void {
  subscribe(`undici:request:${channel}`, (message) => listener(message as Message));
}

function headersOf(raw: readonly Buffer[]): Headers {
  const headers = new Headers();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    headers.append(raw[i]!.toString('latin1'), raw[i + 1]!.toString('latin1'));
  }
  return headers;
}

function finish(sent: Sent, isWhole: boolean): void {
  const seen = passing.get(sent);
  if (!passing.delete(sent) || seen === undefined) return;
  const { origin, method, path } = sent;
  const raw = Buffer.concat(seen.chunks);
  // As it was on its way: what is cut off cannot be inflated.
  const isGzip = isWhole && seen.headers.get('content-encoding') === 'gzip';
  const body = (isGzip ? gunzipSync(raw) : raw).toString();
  const { pathname } = new URL(path, origin);
  // How a test reaches the storage of a local service, which is no part of it.
  if (pathname.startsWith('/cdn-cgi/')) return;
  const reply = {
    method,
    path: pathname,
    status: seen.status,
    headers: seen.headers,
    body,
    isWhole,
  };
  const reader = readers.get(origin) ?? readerAt(origin);
  readers.set(origin, reader);
  checks.push(reader.then((read) => read?.(reply) ?? unread(reply)));
}

/** What nothing was found of: the GPU worker's replies may be, those for pages of other origins are an edge's. */
function unread({ method, path, headers }: Reply): string[] {
  const isOfEdge = headers.has('access-control-allow-origin');
  return isOfEdge ? [`${method} ${path}: its edge has no OpenAPI document`] : [];
}

async function report(): Promise<void> {
  const found = (await Promise.all(checks.splice(0))).flat();
  expect(found, 'replies that the OpenAPI document does not describe').toEqual([]);
}

if (FOLDERS.test(expect.getState().testPath ?? '')) {
  on('headers', ({ request, response }) => {
    if (response === undefined) return;
    const { statusCode: status, headers } = response;
    passing.set(request, { request, status, headers: headersOf(headers), chunks: [] });
  });
  on('bodyChunkReceived', ({ request, chunk }) => {
    if (chunk !== undefined) passing.get(request)?.chunks.push(chunk);
  });
  on('trailers', ({ request }) => finish(request, true));
  on('error', ({ request }) => finish(request, false));
  afterEach(report);
  afterAll(report);
}
