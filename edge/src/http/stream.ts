/** A body from bytes that are made while they are read. */

export type StreamOptions = {
  /** Milliseconds after which a reader that reads nothing more gets nothing more: the body breaks off. */
  stalledMs?: number;
  /** Called at each piece that is asked for, and when it is there. */
  onPiece?: () => void;
  /**
   * Called when the reader is waited for: it has a piece of so many bytes, or none yet, and asks for the next when `asked` resolves.
   * Where what this returns is rejected, the body breaks off.
   */
  whileRead?: (bytes: number, asked: Promise<void>) => Promise<void>;
  /** Called where the body breaks off because its reader is slow. */
  onBreak?: (reason: unknown) => void;
  /** Called once, however it ends. */
  onEnd?: () => void;
};

/**
 * @throws what `chunks` throws before the first: nothing was sent, so that it is an error like any other. What it throws
 *   later breaks the body off.
 */
export async function streamOf(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  {
    stalledMs,
    onPiece = () => {},
    whileRead,
    onBreak = () => {},
    onEnd = () => {},
  }: StreamOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  let next: Promise<IteratorResult<Uint8Array, void>> | undefined = chunks.next();
  await next.catch((thrown: unknown) => {
    onEnd();
    throw thrown;
  });
  let isOver = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asks = () => {};
  const goOn = () => {
    clearTimeout(timer);
    asks();
  };
  const end = () => {
    if (isOver) return;
    isOver = true;
    goOn();
    onEnd();
  };
  const wait = (controller: ReadableStreamDefaultController<Uint8Array>, bytes: number) => {
    const breakOff = (reason: unknown) => {
      if (isOver) return;
      end();
      controller.error(reason);
      onBreak(reason);
      chunks.return(undefined).catch(() => {});
    };
    const asked = Promise.withResolvers<void>();
    asks = asked.resolve;
    whileRead?.(bytes, asked.promise).catch(breakOff);
    if (stalledMs === undefined) return;
    timer = setTimeout(() => breakOff(new Error('the reader has stopped reading')), stalledMs);
  };
  return new ReadableStream(
    {
      start: (controller) => wait(controller, 0),
      async pull(controller) {
        goOn();
        onPiece();
        try {
          const { done, value } = await (next ?? chunks.next());
          next = undefined;
          if (isOver) return;
          if (done) {
            controller.close();
            end();
          } else {
            controller.enqueue(value);
            onPiece();
            wait(controller, value.length);
          }
        } catch (thrown) {
          end();
          throw thrown;
        }
      },
      async cancel() {
        end();
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * The same as a body of the platform: of one that breaks off nothing is left in memory.
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
  const pieces = (await streamOf(chunks, { ...options, onBreak: abort })).getReader();
  const send = async () => {
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return await writer.close();
      await writer.write(value);
    }
  };
  // A client that leaves ends it.
  send().catch((reason: unknown) => {
    abort(reason);
    pieces.cancel(reason).catch(() => {});
  });
  return readable;
}
