/** Server-sent events from an async iterable, with a comment while nothing flows. */

export type ServerEvent = { event: string; data: unknown };

export type SseOptions = {
  /** Idle time after which a comment is sent: only a write tells a Worker that its client has gone. */
  heartbeatMs: number;
  /** Called once when the client goes away before the end. */
  onCancel: () => void;
  /** The last event of a stream that breaks. */
  onError: (thrown: unknown) => ServerEvent;
};

const HEARTBEAT = Symbol('heartbeat');

/**
 * The response's headers go out with the first event, or after `heartbeatMs` without one.
 * @throws what `events` throws until then: nothing was written, so that it is an error like any other
 */
export async function sseResponse(
  events: AsyncGenerator<ServerEvent>,
  options: SseOptions,
): Promise<Response> {
  const first = events.next();
  await orHeartbeat(first, options.heartbeatMs);
  return new Response(sseStream(events, first, options), {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // Compression would hold events back until its buffer is full.
      'content-encoding': 'identity',
      'x-accel-buffering': 'no',
    },
  });
}

function sseStream(
  events: AsyncGenerator<ServerEvent>,
  first: Promise<IteratorResult<ServerEvent>>,
  { heartbeatMs, onCancel, onError }: SseOptions,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let pending: Promise<IteratorResult<ServerEvent>> | undefined = first;
  return new ReadableStream({
    async pull(controller) {
      pending ??= events.next();
      try {
        const next = await orHeartbeat(pending, heartbeatMs);
        if (next === HEARTBEAT) {
          controller.enqueue(encoder.encode(': \n\n'));
          return;
        }
        pending = undefined;
        if (next.done) controller.close();
        else controller.enqueue(encoder.encode(format(next.value)));
      } catch (thrown) {
        controller.enqueue(encoder.encode(format(onError(thrown))));
        controller.close();
      }
    },
    async cancel() {
      onCancel();
      await pending?.catch(() => {});
      await events.return(undefined);
    },
  });
}

async function orHeartbeat<T>(pending: Promise<T>, ms: number): Promise<T | typeof HEARTBEAT> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const idle = new Promise<typeof HEARTBEAT>((resolve) => {
    timer = setTimeout(() => resolve(HEARTBEAT), ms);
  });
  try {
    return await Promise.race([pending, idle]);
  } finally {
    clearTimeout(timer);
  }
}

/** JSON has no raw line breaks, so one data line holds it. */
function format({ event, data }: ServerEvent): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
