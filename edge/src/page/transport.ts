/**
 * Sends a request and reads its reply as a stream of events, by XMLHttpRequest: `fetch` does not say how much of a
 * request has been sent.
 */
import type { Problem } from '@blip2/shared/errors';
import type { DoneEvent, ImageEvent, TokenEvent } from '@blip2/shared/schemas/events';
import { EventStream, type ServerEvent } from './event-stream.ts';
import { Failure } from './failure.ts';
import { keyOfPage } from './key.ts';

export type ReplyEvent =
  | { type: 'image'; image: ImageEvent }
  | { type: 'token'; token: TokenEvent }
  | { type: 'done'; reply: DoneEvent };

export type RequestOptions = {
  /** A text is JSON. */
  body: FormData | string;
  signal: AbortSignal;
  /** Called while the request is sent, with bytes. */
  onProgress?: (sent: number, total: number) => void;
  /** Called once when all of it has been sent. */
  onSent?: () => void;
};

/** @throws Failure, or the signal's reason */
export async function* send(
  path: string,
  options: RequestOptions,
): AsyncGenerator<ReplyEvent, void, undefined> {
  options.signal.throwIfAborted();
  const stream = new EventStream();
  const reader = openReply(path, options).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Failure('cut-off');
      for (const event of stream.push(value)) {
        const known = readEvent(event);
        if (known !== null) yield known;
        if (known?.type === 'done') return;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function readEvent({ event, data }: ServerEvent): ReplyEvent | null {
  switch (event) {
    case 'image':
      return { type: 'image', image: data as ImageEvent };
    case 'token':
      return { type: 'token', token: data as TokenEvent };
    case 'done':
      return { type: 'done', reply: data as DoneEvent };
    case 'error':
      throw Failure.from(data as Problem, (data as Problem).status);
    default:
      return null;
  }
}

/** The text of the reply as it comes in; an error where the reply is none. */
function openReply(
  path: string,
  { body, signal, onProgress, onSent }: RequestOptions,
): ReadableStream<string> {
  const xhr = new XMLHttpRequest();
  return new ReadableStream({
    start(controller) {
      let read = 0;
      const isGood = () => xhr.status >= 200 && xhr.status < 300;
      signal.addEventListener('abort', () => {
        xhr.onreadystatechange = null;
        xhr.abort();
        controller.error(signal.reason);
      });
      const finish = once(onSent);
      xhr.upload.onprogress = ({ loaded, total }) => {
        onProgress?.(loaded, total);
        // Browsers may report the end itself when the reply begins.
        if (loaded === total) finish();
      };
      xhr.upload.onload = finish;
      xhr.onreadystatechange = () => {
        if (xhr.readyState < XMLHttpRequest.LOADING || !isGood()) return;
        const text = xhr.responseText.slice(read);
        read += text.length;
        if (text !== '') controller.enqueue(text);
      };
      xhr.onload = () => {
        if (isGood()) controller.close();
        else controller.error(Failure.from(parseProblem(xhr.responseText), xhr.status));
      };
      xhr.onerror = () => controller.error(new Failure(read > 0 ? 'cut-off' : 'unreachable'));
      xhr.open('POST', path);
      xhr.setRequestHeader('accept', 'text/event-stream');
      const key = keyOfPage();
      // A value that no header may have is no key; the service says so.
      if (key !== null)
        xhr.setRequestHeader('authorization', `Bearer ${encodeURI(key.toWellFormed())}`);
      if (typeof body === 'string') xhr.setRequestHeader('content-type', 'application/json');
      xhr.send(body);
    },
    cancel: () => xhr.abort(),
  });
}

function once(call: () => void = () => {}): () => void {
  let isCalled = false;
  return () => {
    if (!isCalled) call();
    isCalled = true;
  };
}

function parseProblem(text: string): Partial<Problem> | null {
  try {
    return JSON.parse(text) as Partial<Problem> | null;
  } catch {
    return null;
  }
}
