/** Server-sent events, or what another protocol has instead, from an async iterable, with a sign of life while nothing flows. */
import { type Reading, WaitedReader } from './waited-reader.ts';

export type ServerEvent = { event: string; data: unknown };

/** A protocol that is streamed. */
export type StreamKind = {
  mediaType: string;
  /** What is sent while nothing flows, of which readers make nothing. */
  heartbeat: string;
};

export const SSE: StreamKind = {
  mediaType: 'text/event-stream; charset=utf-8',
  heartbeat: ': \n\n',
};

export type SseOptions<Item> = {
  /** The event of an item, or what is sent of it to the letter: a dialect has its own. */
  format: (item: Item) => ServerEvent | string;
  /** The last event of a stream that breaks. */
  formatError: (thrown: unknown) => ServerEvent | string;
  /** Idle time after which a heartbeat is sent: only a write shows a Worker that its client has gone. */
  heartbeatMs: number;
  /** Called once when the client goes away before the end. */
  onCancel: () => void;
  /** Of one whose client may have much in memory. */
  reading?: Reading | undefined;
};

/** A comment every half second: a Worker notices a gone client only when it writes. */
export const HEARTBEAT_MS = 500;

const HEARTBEAT = Symbol('heartbeat');

/** Most items of one write. */
const MAX_TOGETHER = 64;
/** Turns of the microtask queue that an item takes at most to come through a few generators. */
const READY_TURNS = 48;

/**
 * The response's headers go out with the first item, or after `heartbeatMs` without one.
 * @throws what `items` throws until then: nothing was sent, so that it is an error like any other
 * @example
 * await sseResponse(generate(deps, request, context), {
 *   format: ({ type, ...data }) => ({ event: type, data }),
 *   formatError: (thrown) => ({ event: 'error', data: ApiError.from(thrown).toProblem() }),
 *   heartbeatMs: 500,
 *   onCancel: () => controller.abort(),
 * });
 */
export async function sseResponse<Item>(
  items: AsyncGenerator<Item>,
  options: SseOptions<Item>,
  kind = SSE,
): Promise<Response> {
  const first = items.next();
  await orHeartbeat(first, options.heartbeatMs).catch((thrown: unknown) => {
    options.reading?.onEnd?.();
    throw thrown;
  });
  const fail = () => failed.add(response);
  const response = new Response(sseStream(items, first, options, kind, fail), {
    headers: {
      'content-type': kind.mediaType,
      'cache-control': 'no-store',
      // Compression would hold events back until its buffer is full.
      'content-encoding': 'identity',
      'x-accel-buffering': 'no',
    },
  });
  lastEvents.set(response, (thrown) => encodeServerEvent(options.formatError(thrown)));
  return response;
}

const lastEvents = new WeakMap<Response, (thrown: unknown) => string>();

/** What a reply, as a route made it, would end with if it failed so, in its dialect's form; null where it is no stream of events. */
export function lastEventOf(response: Response, thrown: unknown): string | null {
  return lastEvents.get(response)?.(thrown) ?? null;
}

/** Replies whose stream ended with an error. */
const failed = new WeakSet<Response>();

/** Whether a reply, as a route made it, said until now that it failed. */
export function hasFailed(response: Response): boolean {
  return failed.has(response);
}

function sseStream<Item>(
  items: AsyncGenerator<Item>,
  first: Promise<IteratorResult<Item>>,
  { format, formatError, heartbeatMs, onCancel, reading }: SseOptions<Item>,
  { heartbeat }: StreamKind,
  onFailure: () => void,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let pending: Promise<IteratorResult<Item>> | undefined = first;
  let stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  const leave = async () => {
    onCancel();
    await pending?.catch(() => {});
    await items.return(undefined);
  };
  const reader = new WaitedReader(reading ?? {}, (reason) => {
    stream?.error(reason);
    leave().catch(() => {});
  });
  return new ReadableStream({
    start(controller) {
      stream = controller;
      reader.has(0);
    },
    async pull(controller) {
      reader.asks();
      let text = '';
      const send = () => {
        if (text === '') return;
        const bytes = encoder.encode(text);
        controller.enqueue(bytes);
        reader.has(bytes.length);
      };
      const close = () => {
        reader.end();
        controller.close();
      };
      pending ??= items.next();
      try {
        let next: IteratorResult<Item> | typeof HEARTBEAT | undefined = await orHeartbeat(
          pending,
          heartbeatMs,
        );
        if (next === HEARTBEAT) {
          text = heartbeat;
          send();
          return;
        }
        // What is there already, as all of a cached reply is, is one write.
        for (let count = 1; next !== undefined && !next.done; count++) {
          pending = undefined;
          text += encodeServerEvent(format(next.value));
          if (count === MAX_TOGETHER) break;
          pending = items.next();
          next = await ifReady(pending);
        }
        send();
        if (!next?.done) return;
        // One that counts ends when its last piece was taken: then there is nothing more.
        if (reading === undefined || text === '') close();
        else pending = undefined;
      } catch (thrown) {
        onFailure();
        text += encodeServerEvent(formatError(thrown));
        send();
        close();
      }
    },
    async cancel() {
      reader.end();
      await leave();
    },
  });
}

/**
 * The same items; what fails, or is there, within so many milliseconds is known when it resolves. A stream that begins
 * at once can so still be refused with a status, by whoever refuses at once.
 * @throws what `items` throws until then
 */
export async function settledFor<Item>(
  items: AsyncGenerator<Item>,
  ms: number,
): Promise<AsyncGenerator<Item, void, undefined>> {
  const first = items.next();
  await orHeartbeat(first, ms);
  return (async function* () {
    try {
      for (let next = await first; !next.done; next = await items.next()) yield next.value;
    } finally {
      await items.return(undefined);
    }
  })();
}

/** What a promise has resolved to; undefined where it has not within a moment, in which nothing else comes in, or has failed. */
async function ifReady<T>(pending: Promise<T>): Promise<T | undefined> {
  let settled: T | undefined;
  pending.then(
    (value) => {
      settled = value;
    },
    () => {},
  );
  for (let turn = 0; turn < READY_TURNS && settled === undefined; turn++) await null;
  return settled;
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
function encodeServerEvent(item: ServerEvent | string): string {
  if (typeof item === 'string') return item;
  const { event, data } = item;
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
