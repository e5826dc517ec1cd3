/** A body from bytes that are made while they are read. */

/**
 * @throws what `chunks` throws before the first: nothing was sent, so that it is an error like any other. What it throws
 *   later breaks the body off.
 */
export async function streamOf(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
): Promise<ReadableStream<Uint8Array>> {
  let next: Promise<IteratorResult<Uint8Array, void>> | undefined = chunks.next();
  await next;
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await (next ?? chunks.next());
        next = undefined;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
