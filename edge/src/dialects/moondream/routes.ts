/** The routes of Moondream's API, for the app and for the OpenAPI document. */
import { BodyHeaders } from '@blip2/shared/schemas/headers';
import type { Route } from '../../routes/route.ts';
import { CONVERSATION } from '../conversation-problems.ts';
import { captionOnMoondream, queryOnMoondream } from './text.ts';

const common = {
  method: 'POST',
  tag: 'moondream',
  errors: 'moondream',
  parameters: { header: BodyHeaders },
  headers: ['cache-control'],
  problems: CONVERSATION,
} as const;

const STREAM =
  'With `stream: true` the reply is a stream of chunks that begins with the first of them; the last event is `completed`, or an error.';

export const MOONDREAM_ROUTES: readonly Route[] = [
  {
    ...common,
    path: '/moondream/v1/caption',
    handler: captionOnMoondream,
    operationId: 'captionOnMoondream',
    summary: 'Caption an image',
    description: STREAM,
    request: { json: 'MoondreamCaptionRequest' },
    reply: { 'application/json': ['MoondreamCaption'], 'text/event-stream': 'moondream-events' },
  },
  {
    ...common,
    path: '/moondream/v1/query',
    handler: queryOnMoondream,
    operationId: 'queryOnMoondream',
    summary: 'Answer a question about an image',
    description: `Without an image, a sentence asks for it. ${STREAM}`,
    request: { json: 'MoondreamQueryRequest' },
    reply: { 'application/json': ['MoondreamAnswer'], 'text/event-stream': 'moondream-events' },
  },
];
