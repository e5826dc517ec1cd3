/** The stream of a reply in a dialect's form: it begins at once, and says in its own way that it failed. */
import { HEARTBEAT_MS, SSE, type StreamKind, settledFor, sseResponse } from '../http/sse.ts';
import { countWritten } from '../routes/count-written.ts';
import type { WrittenReading } from '../routes/large-reply.ts';
import type { ReplyDelta } from './write-reply.ts';

/** Who refuses at once may still do so with a status; a long queue must not keep the headers back. */
const REFUSAL_MS = 200;

/** A form: each part is one or several events, to the letter. */
export type StreamForm = {
  /** Server-sent events, where nothing is said. */
  kind?: StreamKind;
  /** Before anything is known; '' where the form has nothing to say. */
  begin: () => string;
  write: (delta: ReplyDelta) => string;
  fail: (thrown: unknown) => string;
};

type Options = {
  /** How long the headers wait for the first delta. */
  refusalMs?: number;
  /** What counts it while it is read. */
  reading?: WrittenReading | undefined;
};

/**
 * @throws what `deltas` throws within that time
 */
export async function streamReply(
  deltas: AsyncGenerator<ReplyDelta, void, undefined>,
  form: StreamForm,
  onCancel: () => void,
  { refusalMs = REFUSAL_MS, reading }: Options = {},
): Promise<Response> {
  const settled = await settledFor(countWritten(deltas, reading), refusalMs).catch(
    (thrown: unknown) => {
      reading?.onEnd?.();
      throw thrown;
    },
  );
  const options = {
    format: (text: string) => text,
    formatError: form.fail,
    heartbeatMs: HEARTBEAT_MS,
    onCancel,
    reading,
  };
  return await sseResponse(textOf(settled, form), options, form.kind ?? SSE);
}

async function* textOf(
  deltas: AsyncGenerator<ReplyDelta, void, undefined>,
  form: StreamForm,
): AsyncGenerator<string, void, undefined> {
  const begin = `${(form.kind ?? SSE) === SSE ? ': ok\n\n' : ''}${form.begin()}`;
  if (begin !== '') yield begin;
  for await (const delta of deltas) {
    const text = form.write(delta);
    if (text !== '') yield text;
  }
}
