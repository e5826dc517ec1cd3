/** Problems in the form of Moondream's errors, which its client for Node needs in a form of its own. */
import { type ApiError, problemResponse } from '@blip2/shared/errors';
import { openAiError, openAiErrorResponse } from '../openai/errors.ts';

/**
 * An error as the last events of a stream. The clients read lines of `data:` alone, and of these only members that a
 * text has: an error in JSON they would pass over, and show a text that is cut off as if it were whole. The last line is
 * no JSON, at which they throw, and say what they could not read: the name of the problem.
 */
export function moondreamErrorEvents(error: ApiError): string {
  const data = JSON.stringify({ error: openAiError(error) });
  return `event: error\ndata: ${data}\n\nevent: end\ndata: ${error.slug}\n\n`;
}

/**
 * For the client for Node: it reads the body of an error as a stream where it asked for one, whatever the status, and
 * else looks at the status alone.
 */
export function moondreamNodeErrorResponse(
  error: ApiError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const response = new Response(moondreamErrorEvents(error), problemResponse(error, headers));
  response.headers.set('content-type', 'text/event-stream; charset=utf-8');
  return response;
}

export const moondreamErrorResponse = openAiErrorResponse;

export function isMoondreamPath(path: string): boolean {
  return /^\/moondream(\/|$)/.test(path);
}

export function isMoondreamNode(userAgent: string | undefined): boolean {
  return /^moondream-node\//.test(userAgent ?? '');
}

/** What that service has and these models do not do. */
const UNDONE = /^\/moondream\/v1\/(detect|point|segment)$/;

/** Why there is nothing at a path of Moondream's API that this service does not have. */
export function whyNotInMoondream(path: string): string | undefined {
  if (!UNDONE.test(path)) return undefined;
  return 'These models find no places in images: /moondream/v1/caption and /moondream/v1/query are what there is.';
}
