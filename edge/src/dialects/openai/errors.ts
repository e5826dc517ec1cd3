/** Problems in the form of OpenAI's errors, and the paths whose errors have it. */
import { type ApiError, type ProblemSlug, problemResponse } from '@blip2/shared/errors';
import type { OpenAiError } from '@blip2/shared/schemas/openai/error';

/** What OpenAI calls a problem, where it has a name for it. */
const CODES: Partial<Record<ProblemSlug, string>> = {
  'prompt-too-long': 'context_length_exceeded',
  'too-many-requests': 'rate_limit_exceeded',
  'quota-exceeded': 'rate_limit_exceeded',
  'missing-key': 'invalid_api_key',
  'invalid-key': 'invalid_api_key',
  'invalid-base64': 'invalid_image',
  'internal-error': 'server_error',
};

const TYPES: Partial<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
};

export type ErrorBody = OpenAiError['error'];

/**
 * The same cause and remedy as the native problem has.
 * @example openAiError(new ApiError('invalid-request', 'n: must be …', { field: 'n' })).param // 'n'
 */
export function openAiError({ slug, status, message, extras }: ApiError): ErrorBody {
  return {
    message,
    type: status >= 500 ? 'server_error' : (TYPES[status] ?? 'invalid_request_error'),
    param: extras.field ?? null,
    code: CODES[slug] ?? slug.replaceAll('-', '_'),
  };
}

/** A problem document that OpenAI's clients can read as well: for paths that may be meant for either. */
export function combinedErrorResponse(
  error: ApiError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body = { ...error.toProblem(), error: openAiError(error) };
  return new Response(JSON.stringify(body), problemResponse(error, headers));
}

/** A response with the status and the headers that the native problem has. */
export function openAiErrorResponse(
  error: ApiError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const native = problemResponse(error, headers);
  const body: OpenAiError = { error: openAiError(error) };
  const response = new Response(JSON.stringify(body), native);
  response.headers.set('content-type', 'application/json');
  return response;
}

/** How paths of OpenAI's API begin under `/v1`, `embeddings` aside, which is ours as well, as other paths of `images` are. */
const PARTS =
  /^\/v1\/(models|chat|responses|completions|files|images\/(?:generations|edits|variations)|audio|moderations|batches|uploads|assistants|threads|conversations|fine_tuning|vector_stores)(\/|$)/;

export function isOpenAiPath(path: string): boolean {
  return PARTS.test(path);
}

/** Whether a client of OpenAI's API sends this, where nothing else tells whose form it is. */
export function isOpenAiClient(headers: Headers): boolean {
  return (
    headers.has('x-stainless-lang') ||
    /openai|ai-sdk|^ai\/\d|langchain/i.test(headers.get('user-agent') ?? '')
  );
}
