/** The API as these scripts use it: JSON replies checked by the public schemas, SSE as an async iterable; each reply is made now. */
import { Problem } from '@blip2/shared/errors';
import { EventSourceParserStream } from 'eventsource-parser/stream';

export type ApiEvent = { event: string; data: unknown; atMs: number };

/** @throws Error with the problem's title and detail when the reply is not 2xx */
export async function expectOk(response: Response): Promise<Response> {
  if (response.ok) return response;
  const text = await response.text();
  const problem = Problem.safeParse(safeJson(text));
  throw new Error(
    problem.success
      ? `${problem.data.status} ${problem.data.title}: ${problem.data.detail}`
      : `${response.status} ${text.slice(0, 200)}`,
  );
}

/** What scripts measure and compare is no reply of before. */
const FRESH = { 'content-type': 'application/json', 'cache-control': 'no-cache' };

export async function postJson(url: string, body: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    headers: FRESH,
    body: JSON.stringify(body),
  });
  return (await expectOk(response)).json();
}

/** Events of a streamed reply, with the milliseconds since the request was sent. */
export async function* postStream(url: string, body: unknown): AsyncGenerator<ApiEvent> {
  const start = performance.now();
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...FRESH, accept: 'text/event-stream' },
    body: JSON.stringify(body),
  });
  const stream = (await expectOk(response)).body;
  if (stream === null) throw new Error('The reply has no body.');
  const events = stream
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { event, data } of events) {
    yield { event: event ?? 'message', data: JSON.parse(data), atMs: performance.now() - start };
  }
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
