/** Problems in the form of Ollama's errors. */
import { type ApiError, problemResponse } from '@blip2/shared/errors';
import type { OllamaError } from '@blip2/shared/schemas/ollama/error';

/** A text: of an object its clients say nothing but `[object Object]`. */
export function ollamaErrorResponse(
  error: ApiError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const native = problemResponse(error, headers);
  const body: OllamaError = { error: error.message };
  const response = new Response(JSON.stringify(body), native);
  response.headers.set('content-type', 'application/json');
  return response;
}

export function isOllamaPath(path: string): boolean {
  return /^\/api(\/|$)/.test(path);
}

/** What changes the models of a machine of one's own. */
const CHANGES = /^\/api\/(pull|push|create|copy|delete|blobs)(\/|$)/;

/** Why there is nothing at a path of Ollama's API that this service does not have. */
export function whyNotInOllama(path: string): string | undefined {
  if (!CHANGES.test(path)) return undefined;
  return 'Models are neither fetched nor changed through the API: the operator chooses them, and GET /api/tags lists those that are served.';
}
