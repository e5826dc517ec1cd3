/** Problems in the form of Hugging Face's errors; never with the status 503, which its client sends again without end. */
import { type ApiError, PROBLEMS, type ProblemSlug, problemResponse } from '@blip2/shared/errors';
import type { HuggingFaceError } from '@blip2/shared/schemas/hugging-face/error';

/** What ends by itself, soon: the client may come again when it wants to. */
const PASSING: ReadonlySet<ProblemSlug> = new Set(['overloaded', 'shutting-down']);

/** The status that a problem has here. */
export function huggingFaceStatus(slug: ProblemSlug): number {
  const { status } = PROBLEMS[slug];
  if (status !== 503) return status;
  return PASSING.has(slug) ? 429 : 500;
}

export function huggingFaceErrorResponse(
  error: ApiError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const native = problemResponse(error, headers);
  // A text: of an object its client says nothing but that there was an error.
  const body: HuggingFaceError = { error: error.message, error_type: error.slug };
  const response = new Response(JSON.stringify(body), {
    status: huggingFaceStatus(error.slug),
    headers: native.headers,
  });
  response.headers.set('content-type', 'application/json');
  return response;
}

export function isHuggingFacePath(path: string): boolean {
  return /^\/hf(\/|$)/.test(path);
}
