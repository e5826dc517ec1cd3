/** Sends a request as it is described, odd headers and broken-off bodies included. */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { Violation } from '../violation.ts';

export type HttpInput = {
  method: string;
  /** Path and query. */
  target: string;
  headers: readonly (readonly [name: string, value: string])[];
  body: Uint8Array;
  /** Where the body is cut into chunks, and sent with `transfer-encoding: chunked`; else it is sent whole, with its length. */
  cuts: readonly number[];
  /** After how many bytes of the body the connection is closed; null where it is not. */
  leaveAfter: number | null;
};

export type HttpReply = {
  status: number;
  headers: Headers;
  text: string;
  bytes: Uint8Array<ArrayBuffer>;
};

/** Node refuses to send other methods and characters. */
const HEADER_VALUE = /[^\t\x20-\x7e\x80-\xff]/g;

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** What Node itself puts into no path; the rest may be as wrong as it likes. */
const NO_PATH = /[^\u0021-\u00ff]+/g;

/**
 * @returns null where the connection was closed before a reply
 * @throws Violation when there is no reply in time
 */
export async function exchange(
  url: string,
  input: HttpInput,
  mostMs: number,
): Promise<HttpReply | null> {
  const { method, target, headers: sent, body, cuts, leaveAfter } = input;
  const hasBody = body.length > 0 || leaveAfter !== null;
  const { hostname, port } = new URL(url);
  const isChunked = cuts.length > 0;
  const length = isChunked
    ? ['transfer-encoding', 'chunked']
    : ['content-length', `${body.length}`];
  const fields = sent.flatMap(([name, value]) => [name, value.replaceAll(HEADER_VALUE, '?')]);
  const outgoing = request({
    agent,
    hostname,
    port,
    method,
    path: target.replaceAll(NO_PATH, (text) => encodeURIComponent(text.toWellFormed())),
    headers: ['host', `${hostname}:${port}`, ...fields, ...(hasBody ? length : [])],
    signal: AbortSignal.timeout(mostMs),
  });
  const response = once(outgoing, 'response') as Promise<[IncomingMessage]>;
  response.catch(() => {});
  try {
    for (const chunk of chunksOf(body, cuts, leaveAfter)) {
      // The reply may come, and the connection be closed, before all is sent.
      if (!outgoing.write(chunk)) await Promise.race([once(outgoing, 'drain'), response]);
    }
    if (leaveAfter !== null) {
      outgoing.destroy();
      return null;
    }
    outgoing.end();
    const [incoming] = await response;
    const parts: Uint8Array[] = [];
    for await (const part of incoming) parts.push(part as Uint8Array);
    const headers = new Headers(pairs(incoming));
    const bytes = new Uint8Array(decoded(Buffer.concat(parts), headers));
    const text = new TextDecoder().decode(bytes);
    return { status: incoming.statusCode ?? 0, headers, text, bytes };
  } catch (error) {
    const { name, code } = error as NodeJS.ErrnoException;
    if (name === 'AbortError' || name === 'TimeoutError' || code === 'ABORT_ERR') {
      throw new Violation(`no answer within ${mostMs / 1000} s`);
    }
    // A server that has answered, or refuses what it reads, may close the connection while more is sent.
    if (code === 'ECONNRESET' || code === 'EPIPE') return null;
    throw new Violation(`the connection fails: ${code ?? (error as Error).message}`);
  } finally {
    outgoing.destroy();
  }
}

/** What was asked for with `accept-encoding`. */
function decoded(bytes: Buffer<ArrayBuffer>, headers: Headers): Buffer<ArrayBuffer> {
  if (bytes.length === 0) return bytes;
  switch (headers.get('content-encoding')) {
    case 'gzip':
      return gunzipSync(bytes);
    case 'br':
      return brotliDecompressSync(bytes);
    default:
      return bytes;
  }
}

function chunksOf(body: Uint8Array, cuts: readonly number[], leaveAfter: number | null) {
  const end = Math.min(body.length, leaveAfter ?? body.length);
  const places = [...new Set([0, ...cuts.map((cut) => cut % (end + 1)), end])].sort(
    (a, b) => a - b,
  );
  return places.slice(1).map((place, i) => body.subarray(places[i], place));
}

function pairs({ rawHeaders }: IncomingMessage): [string, string][] {
  return Array.from({ length: rawHeaders.length / 2 }, (_, i) => [
    rawHeaders[2 * i] ?? '',
    rawHeaders[2 * i + 1] ?? '',
  ]);
}
