/** A body from bytes that are made while they are read. */

export type StreamOptions = {
  /** Milliseconds after which a reader that reads nothing more gets nothing more: the body breaks off. */
  stalledMs?: number;
  /** Called at each piece that is asked for, and when it is there. */
  onPiece?: () => void;
  /** Called once, however it ends. */
  onEnd?: () => void;
};

/**
 * @throws what `chunks` throws before the first: nothing was sent, so that it is an error like any other. What it throws
 *   later breaks the body off.
 */
export async function streamOf(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  { stalledMs, onPiece = () => {}, onEnd = () => {} }: StreamOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  let next: Promise<IteratorResult<Uint8Array, void>> | undefined = chunks.next();
  await next.catch((thrown: unknown) => {
    onEnd();
    throw thrown;
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    if (stalledMs === undefined) return;
    timer = setTimeout(() => {
      controller.error(new Error('the reader has stopped reading'));
      chunks.return(undefined).catch(() => {});
      onEnd();
    }, stalledMs);
  };
  return new ReadableStream(
    {
      start: wait,
      async pull(controller) {
        clearTimeout(timer);
        onPiece();
        try {
          const { done, value } = await (next ?? chunks.next());
          next = undefined;
          if (done) {
            controller.close();
            onEnd();
          } else {
            controller.enqueue(value);
            onPiece();
            wait(controller);
          }
        } catch (thrown) {
          onEnd();
          throw thrown;
        }
      },
      async cancel() {
        clearTimeout(timer);
        onEnd();
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
