/** Problems in the form of OpenAI's errors, and the paths whose errors have it. */
import { type ApiError, type ProblemSlug, problemResponse } from '@blip2/shared/errors';
import type { OpenAiError } from '@blip2/shared/schemas/openai/error';

/** What OpenAI calls a problem, where it has a name for it. */
const CODES: Partial<Record<ProblemSlug, string>> = {
  'prompt-too-long': 'context_length_exceeded',
  'too-many-requests': 'rate_limit_exceeded',
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

/** First parts of our own paths under `/v1`. */
const OURS = new Set(['captions', 'answers', 'match', 'embeddings']);

/** Everything under `/v1` that is not ours is asked for by OpenAI's clients, if by anybody. */
export function isOpenAiPath(path: string): boolean {
  const [, first] = /^\/v1\/([^/]*)/.exec(path) ?? [];
  return first !== undefined && !OURS.has(first);
}

/** Whether a client of OpenAI's API sends this, where nothing else tells whose form it is. */
export function isOpenAiClient(headers: Headers): boolean {
  return (
    headers.has('x-stainless-lang') ||
    /openai|ai-sdk|^ai\/\d|langchain/i.test(headers.get('user-agent') ?? '')
  );
}
