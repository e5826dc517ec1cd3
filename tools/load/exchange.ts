/** One request and its reply, timed: when its first token and its end came, and what went wrong. */
import { Problem } from '@blip2/shared/errors';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { Clock } from './open-loop.ts';

export type Outgoing = {
  method: 'GET' | 'POST';
  /** Path on the API, query included. */
  path: string;
  headers: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer>;
};

export type Exchange = {
  /** When the first delta of a streamed text came, by the clock; null where nothing was streamed. */
  firstTokenAt: number | null;
  endAt: number;
  /** Milliseconds between deltas of a streamed text. */
  gaps: number[];
  /** Status and type of the problem, or why there was no reply; null when all went well. */
  failure: string | null;
};

/** After so long a caller has gone. */
const PATIENCE_MS = 60_000;

/**
 * Sends a request and reads its reply to the end; what goes wrong is in the result, and nothing is thrown.
 * @example await exchange(url, { method: 'GET', path: '/healthz', headers: {} }, systemClock)
 */
export async function exchange(
  url: string,
  { method, path, headers, body }: Outgoing,
  clock: Pick<Clock, 'now'>,
): Promise<Exchange> {
  const gaps: number[] = [];
  let firstTokenAt: number | null = null;
  const ended = (failure: string | null): Exchange => ({
    firstTokenAt,
    endAt: clock.now(),
    gaps,
    failure,
  });
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const init = { method, headers, signal, ...(body === undefined ? {} : { body }) };
    const response = await fetch(`${url}${path}`, init);
    if (!response.ok) {
      return ended(`${response.status} ${problemType(await response.text())}`.trim());
    }
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
      await response.arrayBuffer();
      return ended(null);
    }
    let last: { event: string | undefined; data: string } | null = null;
    let lastAt: number | null = null;
    for await (const { event, data } of eventsOf(response)) {
      last = { event, data };
      if (event !== 'token') continue;
      const now = clock.now();
      firstTokenAt ??= now;
      if (lastAt !== null) gaps.push(now - lastAt);
      lastAt = now;
    }
    if (last?.event === 'done') return ended(null);
    return ended(
      last?.event === 'error' ? `error event ${problemType(last.data)}`.trim() : 'stream cut off',
    );
  } catch (error) {
    return ended(reasonOf(error));
  }
}

function eventsOf(response: Response) {
  if (response.body === null) throw new Error('no body');
  return response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
}

/** Last part of a problem's type: `overloaded`; empty where the text is no problem. */
function problemType(text: string): string {
  try {
    return Problem.parse(JSON.parse(text)).type.split('/').at(-1) ?? '';
  } catch {
    return '';
  }
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string } };
  if (name === 'TimeoutError') return `no end within ${PATIENCE_MS / 1000} s`;
  return cause?.code ?? message;
}
