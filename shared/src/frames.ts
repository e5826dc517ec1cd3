/**
 * The binary frames that edge and GPU worker exchange.
 *
 * One frame: `u8 type | u8 version | u16 reserved (0) | u32 payload length | payload`, little endian.
 * A request body is `request` followed by at most one of `image` / `embeddings`; a reply is a stream of
 * frames that always ends with `done` or `error`.
 */
export const FRAMES_MEDIA_TYPE = 'application/vnd.blip2.frames';
export const FRAME_VERSION = 2;
export const FRAME_HEADER_BYTES = 8;

/** Frame types; JSON payloads are described in `wire.ts`. */
export const FRAME_TYPES = {
  /** JSON `GpuRequest`. */
  request: 1,
  /** The image's bytes as sent by the client. */
  image: 2,
  /** An encoded embedding value (`embedding-codec.ts`). */
  embeddings: 3,
  /** JSON `ImageInfo`: what the image turned out to be. */
  imageInfo: 4,
  /** The next tokens of one of the texts: `encodeTokensFrame`. */
  tokens: 5,
  /** JSON `GpuDone`. */
  done: 6,
  /** JSON `Problem`. */
  error: 7,
  /** JSON `GpuScores`. */
  scores: 8,
  /** JSON `GpuTexts`. */
  texts: 9,
} as const;

export type FrameType = keyof typeof FRAME_TYPES;
export type Frame = { type: FrameType; payload: Uint8Array };

const NAME_OF = new Map<number, FrameType>(
  Object.entries(FRAME_TYPES).map(([name, code]) => [code, name as FrameType]),
);

/**
 * What is wrong: `truncated` is a stream that ended inside a frame, as a broken connection does; all others are bytes
 * that the protocol does not know. Of the header: `type`, `version`, `too-large`; of a payload: `json`, `schema`,
 * `tokens`; `unexpected` is a well-formed frame at the wrong place.
 */
export type FrameErrorCode =
  | 'truncated'
  | 'type'
  | 'version'
  | 'too-large'
  | 'json'
  | 'schema'
  | 'tokens'
  | 'unexpected';

/** Thrown when bytes are not the frames they should be. */
export class FrameError extends Error {
  override name = 'FrameError';
  readonly code: FrameErrorCode;

  constructor(code: FrameErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/**
 * One frame as bytes: header and payload in one buffer.
 * @example encodeFrame('image', Uint8Array.of(7)) // 02 02 00 00 01 00 00 00 07
 */
export function encodeFrame(type: FrameType, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.byteLength);
  const header = new DataView(bytes.buffer);
  header.setUint8(0, FRAME_TYPES[type]);
  header.setUint8(1, FRAME_VERSION);
  header.setUint32(4, payload.byteLength, true);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

export function encodeJsonFrame(type: FrameType, value: unknown): Uint8Array<ArrayBuffer> {
  return encodeFrame(type, new TextEncoder().encode(JSON.stringify(value)));
}

/** A log-probability, natural logarithm, float32. */
export type ScoredToken = { id: number; logprob: number };
/** A generated token; `scored` where log-probabilities were asked for: its own, and the likeliest at its position. */
export type GeneratedToken = { id: number; scored?: { logprob: number; top: ScoredToken[] } };
/** Next tokens of the text number `choice`, in their order. */
export type TokensPayload = { choice: number; tokens: readonly GeneratedToken[] };

/**
 * Payload: `u16 choice | u16 k`, then for each token `u32 id`; with k > 0 also `f32 logprob` and k − 1 times
 * `u32 id | f32 logprob`. All tokens of a frame have the same k.
 */
export function encodeTokensFrame({ choice, tokens }: TokensPayload): Uint8Array<ArrayBuffer> {
  const scored = tokens[0]?.scored;
  const k = scored === undefined ? 0 : scored.top.length + 1;
  const payload = new Uint8Array(4 + tokens.length * tokenBytes(k));
  const view = new DataView(payload.buffer);
  view.setUint16(0, choice, true);
  view.setUint16(2, k, true);
  let at = 4;
  for (const token of tokens) {
    if (k === 0) {
      view.setUint32(at, token.id, true);
      at += 4;
      continue;
    }
    const { logprob = Number.NaN, top = [] } = token.scored ?? {};
    for (const { id, logprob: value } of [{ id: token.id, logprob }, ...top]) {
      view.setUint32(at, id, true);
      view.setFloat32(at + 4, value, true);
      at += 8;
    }
  }
  return encodeFrame('tokens', payload);
}

/** @throws FrameError `tokens` when the payload is not a whole number of tokens */
export function decodeTokens(payload: Uint8Array): TokensPayload {
  if (payload.byteLength < 4) throw new FrameError('tokens', 'a tokens frame lacks its head');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const k = view.getUint16(2, true);
  const count = (payload.byteLength - 4) / tokenBytes(k);
  if (!Number.isInteger(count)) {
    throw new FrameError('tokens', 'a tokens frame ends inside a token');
  }
  const scoredAt = (at: number): ScoredToken => ({
    id: view.getUint32(at, true),
    logprob: view.getFloat32(at + 4, true),
  });
  const tokens = Array.from({ length: count }, (_, i): GeneratedToken => {
    const at = 4 + i * tokenBytes(k);
    if (k === 0) return { id: view.getUint32(at, true) };
    const { id, logprob } = scoredAt(at);
    const top = Array.from({ length: k - 1 }, (_, j) => scoredAt(at + 8 * (j + 1)));
    return { id, scored: { logprob, top } };
  });
  return { choice: view.getUint16(0, true), tokens };
}

function tokenBytes(k: number): number {
  return k === 0 ? 4 : 8 * k;
}

/** Parses a JSON payload; the caller validates it with the schema of its frame. @throws FrameError `json` */
export function decodeJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(payload));
  } catch (cause) {
    throw new FrameError('json', 'a frame does not hold valid JSON', { cause });
  }
}

/** What a frame's header says of it. */
export type FrameHead = { type: FrameType; length: number };

function parseHead(bytes: Uint8Array): FrameHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  const type = NAME_OF.get(view.getUint8(0));
  if (type === undefined) throw new FrameError('type', `unknown frame type ${view.getUint8(0)}`);
  if (view.getUint16(2, true) !== 0) {
    throw new FrameError('version', 'the reserved bytes of a frame are not 0');
  }
  if (view.getUint8(1) !== FRAME_VERSION) {
    const detail = `frame version ${view.getUint8(1)}, expected ${FRAME_VERSION}`;
    throw new FrameError('version', detail);
  }
  return { type, length: view.getUint32(4, true) };
}

/**
 * Reads a byte stream frame by frame, the head of each before its payload: whoever reads decides what a payload may cost
 * before any of it is there. Never holds more than one payload and one chunk of the stream.
 * @example
 * await using reader = new FrameReader(body);
 * const head = await reader.head();
 * if (head?.type === 'image' && head.length <= limit) image = await reader.payload();
 */
export class FrameReader implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** What came and was not read yet. */
  #rest: Uint8Array = new Uint8Array();
  #ended = false;
  /** Bytes of the payload whose head was read last. */
  #expected = 0;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next frame's head; null where the stream ends between two frames. @throws FrameError */
  async head(): Promise<FrameHead | null> {
    if (this.#rest.byteLength === 0 && !(await this.#receive())) return null;
    const head = parseHead(await this.#take(FRAME_HEADER_BYTES));
    this.#expected = head.length;
    return head;
  }

  /**
   * The payload of the head that was read last: a view of the chunk where it lies in one, otherwise copied once.
   * @throws FrameError `truncated`
   */
  async payload(): Promise<Uint8Array> {
    const payload = await this.#take(this.#expected);
    this.#expected = 0;
    return payload;
  }

  /** Whether nothing more comes. */
  async isAtEnd(): Promise<boolean> {
    return this.#rest.byteLength === 0 && !(await this.#receive());
  }

  /** Cancels the stream unless it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) await this.#reader.cancel().catch(() => {});
    this.#reader.releaseLock();
  }

  /** Waits for bytes; false where the stream has ended. */
  async #receive(): Promise<boolean> {
    while (!this.#ended) {
      const { done, value } = await this.#reader.read();
      if (done) this.#ended = true;
      else if (value.byteLength > 0) {
        this.#rest = value;
        return true;
      }
    }
    return false;
  }

  /** The next `count` bytes. Each byte is copied at most once, however small the chunks are. */
  async #take(count: number): Promise<Uint8Array> {
    if (this.#rest.byteLength >= count) return this.#consume(count);
    const bytes = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (this.#rest.byteLength === 0 && !(await this.#receive())) {
        throw new FrameError('truncated', 'the stream ended inside a frame');
      }
      const part = this.#consume(Math.min(count - filled, this.#rest.byteLength));
      bytes.set(part, filled);
      filled += part.byteLength;
    }
    return bytes;
  }

  #consume(count: number): Uint8Array {
    const bytes = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return bytes;
  }
}

/**
 * Frames of a byte stream, each as soon as its last byte has come. A payload may be a view of a larger chunk; bytes
 * are copied at most once. Ends when the stream ends between two frames. Leaving the loop early cancels the stream.
 * @throws FrameError `truncated` when the stream ends inside a frame, or what is wrong with a header
 */
export async function* readFrames(
  stream: ReadableStream<Uint8Array>,
  maxPayloadBytes = 64 * 1024 * 1024,
): AsyncGenerator<Frame, void, undefined> {
  await using reader = new FrameReader(stream);
  for (let head = await reader.head(); head !== null; head = await reader.head()) {
    expectLength(head, maxPayloadBytes);
    yield { type: head.type, payload: await reader.payload() };
  }
}

/**
 * Frames of bytes that are all there, whose payloads are views of them: without a stream, which takes memory outside of the heap.
 * @throws FrameError `truncated` when they end inside a frame, or what is wrong with a header
 */
export function* framesOf(bytes: Uint8Array): Generator<Frame, void, undefined> {
  for (let at = 0; at < bytes.byteLength; ) {
    const rest = bytes.subarray(at);
    const head = rest.byteLength < FRAME_HEADER_BYTES ? null : parseHead(rest);
    const end = FRAME_HEADER_BYTES + (head?.length ?? 0);
    if (head === null || rest.byteLength < end) {
      throw new FrameError('truncated', 'the bytes end inside a frame');
    }
    yield { type: head.type, payload: rest.subarray(FRAME_HEADER_BYTES, end) };
    at += end;
  }
}

/** @throws FrameError `too-large` when the payload would be longer than `limit` bytes */
export function expectLength({ type, length }: FrameHead, limit: number): void {
  if (length <= limit) return;
  const detail = `a ${type} frame of ${length} bytes is over the limit of ${limit}`;
  throw new FrameError('too-large', detail);
}
