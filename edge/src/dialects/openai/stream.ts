/** The stream of a reply in one of OpenAI's two forms: it begins at once, and says in its own way that it failed. */
import { HEARTBEAT_MS, settledFor, sseResponse } from '../../http/sse.ts';
import type { ReplyDelta } from '../write-reply.ts';

/** Who refuses at once may still do so with a status; a long queue must not keep the headers back. */
const REFUSAL_MS = 200;

/** A form: each part is one or several events, to the letter. */
export type StreamForm = {
  /** Before anything is known. */
  begin: () => string;
  write: (delta: ReplyDelta) => string;
  fail: (thrown: unknown) => string;
};

/** @throws what `deltas` throws within a moment */
export async function streamReply(
  deltas: AsyncGenerator<ReplyDelta, void, undefined>,
  form: StreamForm,
  onCancel: () => void,
): Promise<Response> {
  const settled = await settledFor(deltas, REFUSAL_MS);
  return await sseResponse(textOf(settled, form), {
    format: (text) => text,
    formatError: form.fail,
    heartbeatMs: HEARTBEAT_MS,
    onCancel,
  });
}

async function* textOf(
  deltas: AsyncGenerator<ReplyDelta, void, undefined>,
  form: StreamForm,
): AsyncGenerator<string, void, undefined> {
  yield `: ok\n\n${form.begin()}`;
  for await (const delta of deltas) {
    const text = form.write(delta);
    if (text !== '') yield text;
  }
}
