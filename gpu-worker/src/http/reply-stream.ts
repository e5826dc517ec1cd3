/** The body of a reply: its frames, and an error frame where it fails. */
import type { ApiError } from '@blip2/shared/errors';
import { encodeJsonFrame } from '@blip2/shared/frames';

type Bytes = Uint8Array<ArrayBuffer>;

export type ReplyEnd = {
  /** The problem that a failure is; null when the client has gone and nobody reads it. */
  problemOf: (thrown: unknown) => ApiError | null;
  onDone: () => void;
  onCancel: () => void;
};

/** @param first the frame that was awaited, since a failure before it is a problem with its own status */
export function replyStream(
  first: Bytes | undefined,
  frames: AsyncGenerator<Bytes, void, undefined>,
  { problemOf, onDone, onCancel }: ReplyEnd,
): ReadableStream<Bytes> {
  return new ReadableStream<Bytes>({
    start(controller) {
      if (first !== undefined) controller.enqueue(first);
    },
    async pull(controller) {
      try {
        const { value, done } = await frames.next();
        if (!done) {
          controller.enqueue(value);
          return;
        }
        controller.close();
        onDone();
      } catch (thrown) {
        const problem = problemOf(thrown);
        if (problem === null) return;
        controller.enqueue(encodeJsonFrame('error', problem.toProblem()));
        controller.close();
      }
    },
    async cancel() {
      onCancel();
      await frames.return();
    },
  });
}
