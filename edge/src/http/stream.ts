/** A body from bytes that are made while they are read. */
import { slicesOf } from './slices.ts';
import { type Reading, WaitedReader } from './waited-reader.ts';

export type StreamOptions = Reading & {
  /** Called where the body breaks off because its reader is slow. */
  onBreak?: (reason: unknown) => void;
};

/**
 * @throws what `chunks` throws before the first: nothing was sent, so that it is an error like any other. What it throws
 *   later breaks the body off.
 */
export async function streamOf(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  { onBreak = () => {}, ...reading }: StreamOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  let next: Promise<IteratorResult<Uint8Array, void>> | undefined = chunks.next();
  await next.catch((thrown: unknown) => {
    reading.onEnd?.();
    throw thrown;
  });
  let stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  const reader = new WaitedReader(reading, (reason) => {
    stream?.error(reason);
    onBreak(reason);
    chunks.return(undefined).catch(() => {});
  });
  return new ReadableStream(
    {
      start(controller) {
        stream = controller;
        reader.has(0);
      },
      async pull(controller) {
        reader.asks();
        try {
          const { done, value } = await (next ?? chunks.next());
          next = undefined;
          if (done) {
            controller.close();
            reader.end();
          } else {
            controller.enqueue(value);
            reader.has(value.length);
          }
        } catch (thrown) {
          reader.end();
          throw thrown;
        }
      },
      async cancel() {
        reader.end();
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * The same as a body of the platform, slice by slice where it is read slowly: of one that breaks off nothing is left in memory.
 * @param bytes of all chunks, so that its reply has a Content-Length; null where nobody knows them
 * @throws as `streamOf`
 */
export async function sentStreamOf(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  bytes: number | null,
  options: StreamOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  const { readable, writable } =
    bytes === null ? new IdentityTransformStream() : new FixedLengthStream(bytes);
  const writer = writable.getWriter();
  // A piece that nobody takes would be in memory until its reader leaves: `pipeTo` waits for it also where the source breaks off.
  const abort = (reason: unknown) => void writer.abort(reason).catch(() => {});
  const pieces = (await streamOf(slicesOf(chunks), { ...options, onBreak: abort })).getReader();
  void sendAll(pieces, writer);
  return readable;
}

/** The same bytes as a body that can be sent to another object, whatever it is now: streams of the platform cannot be piped into each other. */
export function sendable(source: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const { readable, writable } = new IdentityTransformStream();
  void sendAll(source.getReader(), writable.getWriter());
  return readable;
}

/** Never throws: a reader who leaves ends the source, and a source that breaks off what is read of it. */
async function sendAll(
  pieces: ReadableStreamDefaultReader<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  try {
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return await writer.close();
      await writer.write(value);
    }
  } catch (reason) {
    writer.abort(reason).catch(() => {});
    pieces.cancel(reason).catch(() => {});
  }
}
