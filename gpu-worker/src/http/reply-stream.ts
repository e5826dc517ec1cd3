/** The body of a reply: its frames, and an error frame where it fails. */
import type { ApiError } from '@blip2/shared/errors';
import { encodeJsonFrame } from '@blip2/shared/frames';

type Bytes = Uint8Array<ArrayBuffer>;

export type ReplyEnd = {
  /** Ends the reply with its reason, whatever the next frame is waiting for. */
  signal: AbortSignal;
  /** The problem that a failure is; null when the client has gone and nobody reads it. */
  problemOf: (thrown: unknown) => ApiError | null;
  onDone: () => void;
  onCancel: () => void;
};

/** @param first the frame that was awaited, since a failure before it is a problem with its own status */
export function replyStream(
  first: Bytes | undefined,
  frames: AsyncGenerator<Bytes, void, undefined>,
  { signal, problemOf, onDone, onCancel }: ReplyEnd,
): ReadableStream<Bytes> {
  let hasEnded = false;
  const fail = (controller: ReadableStreamDefaultController<Bytes>, thrown: unknown) => {
    if (hasEnded) return;
    hasEnded = true;
    // It may be waiting for what never comes: nobody waits for its end.
    frames.return().catch(() => {});
    const problem = problemOf(thrown);
    if (problem === null) return;
    controller.enqueue(encodeJsonFrame('error', problem.toProblem()));
    controller.close();
  };
  return new ReadableStream<Bytes>({
    start(controller) {
      if (first !== undefined) controller.enqueue(first);
      const onAbort = () => fail(controller, signal.reason);
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    },
    async pull(controller) {
      try {
        const { value, done } = await frames.next();
        if (hasEnded) return;
        if (!done) {
          controller.enqueue(value);
          return;
        }
        hasEnded = true;
        controller.close();
        onDone();
      } catch (thrown) {
        fail(controller, thrown);
      }
    },
    cancel() {
      hasEnded = true;
      onCancel();
      frames.return().catch(() => {});
    },
  });
}
