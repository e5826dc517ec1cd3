/** The route of a request for text, the same for captions and answers: read, check, look up, generate. */
import { ApiError } from '@blip2/shared/errors';
import type { Prompt } from '@blip2/shared/generation/prepare-prompt';
import type { DoneEvent, ImageEvent, TokenEvent } from '@blip2/shared/schemas/events';
import type * as z from 'zod/mini';
import type { Dependencies } from '../dependencies.ts';
import { beginGeneration, wholeOf } from '../generation/begin-generation.ts';
import type { Delta } from '../generation/generate.ts';
import { negotiateOrRefuse } from '../http/content-negotiation.ts';
import { readImageRequest } from '../http/request-body.ts';
import { serverTiming } from '../http/server-timing.ts';
import { HEARTBEAT_MS, type ServerEvent, sseResponse } from '../http/sse.ts';
import { type AppContext, type Handler, readingOf, requestContextOf } from './app-context.ts';
import { countWritten } from './count-written.ts';
import { holdWritten, writtenJson } from './large-reply.ts';

export type GenerateRoute = {
  /** Member of the reply that holds the text. */
  member: 'caption' | 'answer';
  /** All members of a request. */
  schema: z.core.$ZodType;
  /** Validates the fields other than the image and makes the prompt of them. */
  prepare(
    fields: Record<string, unknown>,
    deps: Dependencies,
  ): { prompt: Prompt; stream: boolean | undefined };
};

export function generateRoute({ member, schema, prepare }: GenerateRoute): Handler {
  return async (c, deps) => {
    const canceled = new AbortController();
    const context = requestContextOf(c, deps, canceled.signal);
    const { source, fields } = await readImageRequest(c.req.raw, readingOf(c, deps), {
      schema,
      check: (members) => {
        const { prompt, stream } = prepare(members, deps);
        return { prompt, isStreamed: stream ?? prefersEvents(c) };
      },
    });
    if (fields.isStreamed) context.account?.stream();
    const request = { source, prompt: fields.prompt };
    const { deltas, ...marked } = await beginGeneration(deps, request, context);
    const id = context.requestId;
    if (fields.isStreamed) {
      const reading = holdWritten(c, deps, fields.prompt.generation);
      return await sseResponse(countWritten(deltas, reading), {
        format: (delta) => toServerEvent(delta, member, id),
        formatError: (thrown) => ({ event: 'error', data: ApiError.from(thrown).toProblem() }),
        heartbeatMs: HEARTBEAT_MS,
        onCancel: () => canceled.abort(),
        reading,
      });
    }
    const { text, timings_ms, ...rest } = await wholeOf(deltas);
    const marks = { startedAt: c.get('startedAt'), ...marked, endedAt: deps.now() };
    const written = { generation: fields.prompt.generation, usage: rest.usage };
    return await writtenJson(c, deps, { id, [member]: text, ...rest }, written, {
      'server-timing': serverTiming(marks, timings_ms),
      'cache-control': 'no-store',
    });
  };
}

/** Clients that stream often ask for JSON in `Accept`: it decides where the request has no `stream`. */
function prefersEvents(c: AppContext): boolean {
  const offers = ['application/json', 'text/event-stream'] as const;
  return negotiateOrRefuse(c.req.header('accept'), offers) === 'text/event-stream';
}

function toServerEvent(delta: Delta, member: 'caption' | 'answer', id: string): ServerEvent {
  switch (delta.type) {
    case 'image': {
      const { cache } = delta;
      const data = { ...delta.image, ...(cache && { cache }) } satisfies ImageEvent;
      return { event: 'image', data };
    }
    case 'delta': {
      const { type: _type, ...data } = delta;
      return { event: 'token', data: data satisfies TokenEvent };
    }
    case 'done': {
      const { generation } = delta;
      const data = { id, [member]: generation.text, ...generation } satisfies DoneEvent;
      return { event: 'done', data };
    }
  }
}
