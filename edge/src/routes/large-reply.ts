/**
 * Replies that may be large, whatever their requests were: making one counts among what its client does, and while it is sent it
 * counts beside the client's bodies. One that nobody reads breaks off after the time of a request, or sooner, where others need its memory.
 */
import type { TokenLogprob, Usage } from '@blip2/shared/schemas/generation';
import type { GenerationConfig } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import type { EmbeddingStore } from '../embeddings/embedding-store.ts';
import type { EmbeddingMediaType } from '../embeddings/represent.ts';
import type { BodyCost } from '../http/body-costs.ts';
import { holdBody } from '../http/held-bodies.ts';
import { RequestTurns } from '../http/request-turns.ts';
import { sentStreamOf } from '../http/stream.ts';
import type { Reading } from '../http/waited-reader.ts';
import { WholeRequest } from '../http/whole-request.ts';
import { type AppContext, clientIn, readingOf } from './app-context.ts';

/** What is smaller is sent as it is: nothing is counted, and no timer set. */
const LARGE_BYTES = 2 ** 16;
/** Handed on at a time. */
const PIECE_BYTES = 2 ** 16;
/** Times what it may stall: a piece that is made or asked for renews it, and no timer may be there to end it. */
const HELD_STALLS = 2;
/** To write a number as JSON, with the list that it is read from. */
const MS_PER_NUMBER = 0.0003;

/** To make a token with its log-probability, and write it as JSON. */
const MS_PER_LOGPROB = 0.002;
/** Of such a token as it is cached, and as JSON. */
const BYTES_PER_LOGPROB = 192;

/** What a reply with so many numbers costs as JSON. @param remedy what to ask for instead */
export function numbersCost(numbers: number, remedy: string): BodyCost {
  return { ms: MS_PER_NUMBER * numbers, remedy };
}

/** What the embeddings of an image cost: all but JSON are copies. */
export function embeddingsCost(
  mediaType: EmbeddingMediaType,
  { numQueries, hidden }: EmbeddingStore['shape'],
): BodyCost {
  const numbers = mediaType === 'application/json' ? numQueries * hidden : 0;
  return numbersCost(numbers, 'Accept: application/octet-stream');
}

/** Waits until so much may be done, as a reply is made. @throws as `RequestTurns.before` */
export async function beforeWork(
  c: AppContext,
  deps: Pick<Dependencies, 'config'>,
  cost: BodyCost,
): Promise<void> {
  await new RequestTurns(c.req.raw, readingOf(c, deps)).before(cost);
}

type Headers = Record<string, string>;

/**
 * JSON, in the turn that it costs.
 * @throws as `beforeWork` and `largeReply`
 * @example await largeJson(c, deps, { embeddings }, numbersCost(2048 * 256, 'fewer texts'), headers)
 */
export async function largeJson(
  c: AppContext,
  deps: Pick<Dependencies, 'config'>,
  value: object,
  cost: BodyCost,
  headers: Headers,
): Promise<Response> {
  await beforeWork(c, deps, cost);
  const headersOfJson = { 'content-type': 'application/json', ...headers };
  return await largeReply(c, deps, jsonBytes(value), headersOfJson);
}

/**
 * JSON of what was written, which is large only where each token comes with many others and their log-probabilities.
 * @throws as `largeJson`
 */
export async function writtenJson(
  c: AppContext,
  deps: Pick<Dependencies, 'config'>,
  value: object,
  { generation: { logprobs, top_logprobs }, usage }: { generation: GenerationConfig; usage: Usage },
  headers: Headers,
): Promise<Response> {
  if (!logprobs) return c.json(value, 200, headers);
  const tokens = usage.completion_tokens * (1 + top_logprobs);
  const cost = { ms: MS_PER_LOGPROB * tokens, remedy: 'a smaller top_logprobs' };
  return await largeJson(c, deps, value, cost, headers);
}

/**
 * JSON of what is stored: lists, and what its owner has sent with it. It is never cached.
 * @throws as `largeReply`
 */
export async function storedJson(
  c: AppContext,
  deps: Pick<Dependencies, 'config'>,
  value: object,
): Promise<Response> {
  const body = jsonBytes(value);
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  return await largeReply(c, deps, body, headers);
}

/** Of a stream of what is written. */
export type WrittenReading = Reading & {
  /**
   * So much more of it is in memory, until it ends.
   * @throws ApiError as `holdReply`
   */
  onWritten: (logprobs: readonly TokenLogprob[]) => void;
};

/**
 * Counts what a stream of what is written has in memory, as it comes: `countWritten`. That is much only where each token comes with many others.
 * @throws as `holdReply`
 */
export function holdWritten(
  c: AppContext,
  { config }: Pick<Dependencies, 'config'>,
  { logprobs }: Pick<GenerationConfig, 'logprobs'>,
): WrittenReading | undefined {
  if (!logprobs) return undefined;
  const { onMore, ...reading } = holdReply(c, config, 0);
  const onWritten = (written: readonly TokenLogprob[]) => {
    const tokens = written.reduce((sum, { top_logprobs }) => sum + 1 + top_logprobs.length, 0);
    onMore(BYTES_PER_LOGPROB * tokens);
  };
  return { ...reading, onWritten };
}

function jsonBytes(value: object): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value)) as Uint8Array<ArrayBuffer>;
}

/** @throws ApiError `too-many-requests`, `overloaded` */
export async function largeReply(
  c: AppContext,
  { config }: Pick<Dependencies, 'config'>,
  body: Uint8Array<ArrayBuffer>,
  headers: Headers,
): Promise<Response> {
  const { raw: request } = c.req;
  // Objects read at once what an item of a job gets.
  const isSent = request.method !== 'HEAD' && !(request instanceof WholeRequest);
  if (body.length <= LARGE_BYTES || !isSent) return c.body(body, 200, headers);
  const held = holdReply(c, config, body.length);
  return c.body(await sentStreamOf(piecesOf(body), body.length, held), 200, headers);
}

/**
 * Bytes that all replies share, as the body of one: of each what is handed on counts.
 * @throws as `largeReply`
 */
export async function sharedBody(
  c: AppContext,
  { config }: Pick<Dependencies, 'config'>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>> {
  if (bytes.length <= LARGE_BYTES || c.req.raw.method === 'HEAD') return bytes;
  // The platform copies what it is given whole, for as long as its client reads nothing.
  return await sentStreamOf(piecesOf(bytes), bytes.length, holdDocument(c, config));
}

/**
 * Counts one piece at a time of a document that is the same for all.
 * @throws as `holdReply`
 */
export function holdDocument(c: AppContext, config: Dependencies['config']): HeldReply {
  const held = holdReply(c, config, 0, { isDocument: true });
  try {
    held.onMade(PIECE_BYTES);
  } catch (thrown) {
    held.onEnd();
    throw thrown;
  }
  return held;
}

/** For the stream that sends a reply: `streamOf`. */
export type HeldReply = Reading & {
  onPiece: () => void;
  onEnd: () => void;
  /**
   * A piece is there, of so many bytes: it, and what it is made of, count from now on, for each piece that is not longer.
   * @throws ApiError as `holdReply`
   */
  onMade: (bytes: number) => void;
  /**
   * So many more bytes are in memory, until it ends.
   * @throws ApiError as `holdReply`
   */
  onMore: (bytes: number) => void;
};

/** A piece, and what it is made of. */
const COPIES = 2;

/**
 * Counts what a reply has in memory beside the bodies of its client, and the reply itself among those that are sent at a time. It
 * counts as slow only while its client is waited for.
 * @param bytes in memory
 * @param isDocument whether it is the same for all: such replies keep no others out
 * @throws ApiError `too-many-requests`, `overloaded`
 */
export function holdReply(
  c: AppContext,
  config: Dependencies['config'],
  bytes: number,
  { isDocument = false } = {},
): HeldReply {
  const { maxHeldBytes, deadlineMs: stalledMs } = config;
  const { signal, method } = c.req.raw;
  // Its body is dropped.
  const nothing = () => {};
  if (method === 'HEAD')
    return { stalledMs: 0, onPiece: nothing, onEnd: nothing, onMade: nothing, onMore: nothing };
  const ms = HELD_STALLS * stalledMs;
  const client = clientIn(c, config);
  const held = holdBody(maxHeldBytes, { client, ms, signal, kind: 'reply', isDocument });
  try {
    held.begin();
    held.add(0, bytes);
  } catch (thrown) {
    held.close();
    throw thrown;
  }
  let longest = 0;
  return {
    stalledMs,
    onPiece: () => held.renew(),
    whileRead: (read, asked) => held.during(asked.then(() => held.add(read, 0))),
    onMade: (made) => {
      held.renew();
      if (made <= longest) return;
      held.add(0, COPIES * (made - longest));
      longest = made;
    },
    onMore: (bytes) => held.add(0, bytes),
    onEnd: () => held.close(),
  };
}

async function* piecesOf(body: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < body.length; at += PIECE_BYTES) yield body.subarray(at, at + PIECE_BYTES);
}
