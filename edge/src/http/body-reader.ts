/**
 * Reads a body by pieces of some size. Its sender decides how large its chunks are, down to a byte each, and a read takes as long
 * for a byte as for thousands: a megabyte of such held an isolate up for two seconds.
 */

/** A piece has as many bytes at least, unless it is the last. A slow sender is waited for no longer than for a packet. */
const LEAST_BYTES = 1024;
const [FIRST_BUFFER, LARGEST_BUFFER] = [2 ** 12, 2 ** 16];

/** Smaller pieces come from those who send so: they pause, for others. */
const SMALL_BYTES = 4096;
/** Small pieces between two pauses; some milliseconds. */
const MOST_SMALL = 64;
/** Long enough for workerd to look at its sockets. */
const PAUSE_MS = 1;

export type BodyReader = {
  /** The next piece, which is the caller's; null at the end. */
  read(): Promise<Uint8Array | null>;
  cancel(reason?: unknown): Promise<void>;
};

/**
 * @param body which this locks
 * @example
 * const reader = bodyReader(request.body);
 * for (let piece = await reader.read(); piece !== null; piece = await reader.read()) total += piece.length;
 */
export function bodyReader(body: ReadableStream<Uint8Array>): BodyReader {
  const { read, cancel } = readerOfBytes(body) ?? readerOfChunks(body);
  let small = 0;
  return {
    read: async () => {
      const piece = await read();
      if (piece === null || piece.length >= SMALL_BYTES || ++small < MOST_SMALL) return piece;
      small = 0;
      await scheduler.wait(PAUSE_MS);
      return piece;
    },
    cancel,
  };
}

/** Of a stream of the platform, which gathers bytes itself; null for one that is made here, as in tests. */
function readerOfBytes(body: ReadableStream<Uint8Array>): BodyReader | null {
  const reader = byteReader(body);
  if (reader === null) return null;
  let buffer = new Uint8Array(FIRST_BUFFER);
  return {
    read: async () => {
      const { value } = await reader.readAtLeast(LEAST_BYTES, buffer);
      // The rest may come with the end, or before it.
      if (value === undefined || value.length === 0) return null;
      const space = value.buffer.byteLength;
      if (value.length <= space / 2) {
        // A view would hold all of the buffer.
        const piece = value.slice();
        buffer = new Uint8Array(value.buffer as ArrayBuffer);
        return piece;
      }
      buffer = new Uint8Array(Math.min(value.length === space ? 2 * space : space, LARGEST_BUFFER));
      return value;
    },
    cancel: (reason) => reader.cancel(reason),
  };
}

function byteReader(body: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return body.getReader({ mode: 'byob' });
  } catch (error) {
    if (error instanceof TypeError && !body.locked) return null;
    throw error;
  }
}

function readerOfChunks(body: ReadableStream<Uint8Array>): BodyReader {
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  return {
    read: async () => {
      const { value } = await reader.read();
      return value ?? null;
    },
    cancel: (reason) => reader.cancel(reason),
  };
}
