/** Problems in the form of Replicate's errors, which problem documents have anyway, under the statuses of that service. */
import { type ApiError, PROBLEMS, type ProblemSlug, problemResponse } from '@blip2/shared/errors';
import type { ReplicateError } from '@blip2/shared/schemas/replicate/error';

/** What cannot be read at all; what can, and is not valid, is 422 there. */
const UNREADABLE: ReadonlySet<ProblemSlug> = new Set([
  'invalid-json',
  'invalid-multipart',
  'invalid-content-encoding',
]);

/** The status that a problem has here. */
export function replicateStatus(slug: ProblemSlug): number {
  const { status } = PROBLEMS[slug];
  return status === 400 && !UNREADABLE.has(slug) ? 422 : status;
}

export function replicateErrorResponse(
  error: ApiError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const native = problemResponse(error, headers);
  const status = replicateStatus(error.slug);
  const body: ReplicateError = { ...error.toProblem(), status };
  const response = new Response(JSON.stringify(body), { status, headers: native.headers });
  response.headers.set('content-type', 'application/json');
  return response;
}

export function isReplicatePath(path: string): boolean {
  return /^\/replicate(\/|$)/.test(path);
}
