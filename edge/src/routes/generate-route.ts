/** The way of a request for text, the same for captions and answers: read, check, find, write. */
import { ApiError } from '@blip2/shared/errors';
import type { DoneEvent, ImageEvent, TokenEvent } from '@blip2/shared/schemas/events';
import { find } from '../embeddings/resolve-embeddings.ts';
import {
  type Generated,
  type GenerateEvent,
  generate,
  type Prompt,
} from '../generation/generate.ts';
import { readBody } from '../http/request-body.ts';
import { type ServerEvent, sseResponse } from '../http/sse.ts';
import { resolveImage } from '../image/image-source.ts';
import { type AppContext, scopeOf, serverTiming } from './request-context.ts';

/** A comment every half second: a Worker notices a gone client only when it writes. */
const HEARTBEAT_MS = 500;

export type TextTask = {
  /** Member of the reply that holds the text. */
  member: 'caption' | 'answer';
  /** Checks the fields beside the image and makes the prompt of them. */
  prepare(fields: Record<string, unknown>): { prompt: Prompt; stream: boolean | undefined };
};

export function textRoute(task: TextTask): (c: AppContext) => Promise<Response> {
  return async (c) => {
    const services = c.get('services');
    const canceled = new AbortController();
    const scope = scopeOf(c, canceled.signal);
    const { source, fields } = await readBody(c.req.raw, services.settings, task.prepare);
    const input = await resolveImage(source, services.settings, scope.signal);
    const readAt = Date.now();
    const found = await find(services.stores.query, input, scope);
    const foundAt = Date.now();
    const events = generate(services, input, found, fields.prompt, scope);
    if (fields.stream ?? acceptsEvents(c)) {
      return await sseResponse(toServerEvents(events, task, scope.id), {
        heartbeatMs: HEARTBEAT_MS,
        onCancel: () => canceled.abort(),
        onError: (thrown) => ({ event: 'error', data: ApiError.from(thrown).toProblem() }),
      });
    }
    const { text, timings_ms, ...rest } = await lastOf(events);
    return c.json({ id: scope.id, [task.member]: text, ...rest }, 200, {
      'server-timing': serverTiming(c, { readAt, foundAt }, timings_ms),
      'cache-control': 'no-store',
    });
  };
}

function acceptsEvents(c: AppContext): boolean {
  return /\btext\/event-stream\b/i.test(c.req.header('accept') ?? '');
}

async function lastOf(events: AsyncIterable<GenerateEvent>): Promise<Generated> {
  let generated: Generated | undefined;
  for await (const event of events) if (event.type === 'done') generated = event.generated;
  if (generated === undefined) throw new Error('a generation ended without its last event');
  return generated;
}

async function* toServerEvents(
  events: AsyncIterable<GenerateEvent>,
  task: TextTask,
  id: string,
): AsyncGenerator<ServerEvent, void, undefined> {
  for await (const event of events) {
    if (event.type === 'image') {
      yield { event: 'image', data: { ...event.image, cache: event.cache } satisfies ImageEvent };
    } else if (event.type === 'token') {
      const { type, ...data } = event;
      yield { event: type, data: data satisfies TokenEvent };
    } else {
      const { generated } = event;
      const data = { id, [task.member]: generated.text, ...generated } satisfies DoneEvent;
      yield { event: 'done', data };
    }
  }
}
