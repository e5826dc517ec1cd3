/**
 * The binary frames that edge and GPU worker exchange.
 *
 * One frame: `u8 type | u8 version | u16 reserved (0) | u32 payload length | payload`, little endian.
 * A request body is `request` followed by at most one of `image` / `embeddings`; a reply is a stream of
 * frames that always ends with `done` or `error`.
 */
export const FRAMES_MEDIA_TYPE = 'application/vnd.blip2.frames';
export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 8;

/** Frame types; JSON payloads are described in `wire.ts`. */
export const FRAME_TYPES = {
  /** JSON `GpuRequest`. */
  request: 1,
  /** The picture's bytes as sent by the client. */
  image: 2,
  /** An encoded embedding value (`embedding-codec.ts`). */
  embeddings: 3,
  /** JSON `ImageInfo`: what the picture turned out to be. */
  imageInfo: 4,
  /** Token ids, u32 each, in the order they were sampled. */
  tokens: 5,
  /** JSON `GpuDone`. */
  done: 6,
  /** JSON `Problem`. */
  error: 7,
} as const;

export type FrameType = keyof typeof FRAME_TYPES;
export type Frame = { type: FrameType; payload: Uint8Array };

const NAME_OF = new Map<number, FrameType>(
  Object.entries(FRAME_TYPES).map(([name, code]) => [code, name as FrameType]),
);

/** Thrown when bytes are not frames. */
export class FrameError extends Error {
  override name = 'FrameError';
}

/** One frame as bytes: header and payload in one buffer. */
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

export function encodeTokensFrame(ids: readonly number[]): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(ids.length * 4);
  const view = new DataView(payload.buffer);
  ids.forEach((id, index) => {
    view.setUint32(index * 4, id, true);
  });
  return encodeFrame('tokens', payload);
}

export function decodeTokens(payload: Uint8Array): number[] {
  if (payload.byteLength % 4 !== 0) throw new FrameError('a tokens frame is not a list of u32');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return Array.from({ length: payload.byteLength / 4 }, (_, index) =>
    view.getUint32(index * 4, true),
  );
}

/** Parses a JSON payload; the caller validates it with the schema of its frame. */
export function decodeJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(payload));
  } catch (cause) {
    throw new FrameError('a frame does not hold valid JSON', { cause });
  }
}

/** Parses the head of a frame; null while fewer than eight bytes are there. */
function readHeader(bytes: Uint8Array, maxPayloadBytes: number) {
  if (bytes.byteLength < FRAME_HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  const type = NAME_OF.get(view.getUint8(0));
  if (type === undefined) throw new FrameError(`unknown frame type ${view.getUint8(0)}`);
  if (view.getUint8(1) !== FRAME_VERSION) {
    throw new FrameError(`frame version ${view.getUint8(1)}, expected ${FRAME_VERSION}`);
  }
  const length = view.getUint32(4, true);
  if (length > maxPayloadBytes) {
    throw new FrameError(
      `a ${type} frame of ${length} bytes is over the limit of ${maxPayloadBytes}`,
    );
  }
  return { type, length };
}

/**
 * Frames of a byte stream, each as soon as its last byte has come. Chunks are copied at most once.
 * Ends when the stream ends between two frames; throws `FrameError` when it ends inside one.
 * Leaving the loop early cancels the stream.
 */
export async function* readFrames(
  stream: ReadableStream<Uint8Array>,
  maxPayloadBytes = 64 * 1024 * 1024,
): AsyncGenerator<Frame, void, undefined> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let buffered = 0;
  const take = (count: number): Uint8Array => {
    const first = chunks[0];
    if (first !== undefined && first.byteLength >= count) {
      if (first.byteLength === count) chunks.shift();
      else chunks[0] = first.subarray(count);
      buffered -= count;
      return first.subarray(0, count);
    }
    const out = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const chunk = chunks.shift() as Uint8Array;
      const part = chunk.subarray(0, count - filled);
      out.set(part, filled);
      filled += part.byteLength;
      if (part.byteLength < chunk.byteLength) chunks.unshift(chunk.subarray(part.byteLength));
    }
    buffered -= count;
    return out;
  };
  let header: ReturnType<typeof readHeader> = null;
  let finished = false;
  try {
    for (;;) {
      while (buffered >= (header?.length ?? FRAME_HEADER_BYTES)) {
        if (header === null) {
          header = readHeader(take(FRAME_HEADER_BYTES), maxPayloadBytes);
        } else {
          const frame = { type: header.type, payload: take(header.length) };
          header = null;
          yield frame;
        }
      }
      const { done, value } = await reader.read();
      if (done) {
        finished = true;
        if (buffered > 0 || header !== null)
          throw new FrameError('the stream ended inside a frame');
        return;
      }
      if (value.byteLength > 0) chunks.push(value);
      buffered += value.byteLength;
    }
  } finally {
    if (!finished) await reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}
