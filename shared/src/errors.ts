/** The one family of errors that crosses a boundary: RFC 9457 problem documents with a stable type. */
import * as z from 'zod/mini';

/**
 * Every problem a client can meet: slug → HTTP status and title.
 * The slug is the stable part of `type` (`/problems/<slug>`); titles and details may be reworded.
 */
export const PROBLEMS = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  'invalid-json': { status: 400, title: 'The body is not valid JSON' },
  'no-image': { status: 400, title: 'No image was sent' },
  'several-images': { status: 400, title: 'More than one image was sent' },
  'invalid-base64': { status: 400, title: 'The image is not valid base64' },
  'invalid-image': { status: 400, title: 'The image cannot be read' },
  'image-too-large': { status: 400, title: 'The image has too many pixels' },
  'image-url-refused': { status: 400, title: 'The image URL is not allowed' },
  'image-url-failed': { status: 400, title: 'The image could not be fetched from its URL' },
  'prompt-too-long': { status: 400, title: 'The text does not fit the context' },
  'no-retrieval-model': { status: 404, title: 'No retrieval model is served' },
  'not-found': { status: 404, title: 'There is nothing here' },
  'unknown-image': { status: 404, title: 'No embeddings are cached for this image' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  'not-acceptable': { status: 406, title: 'No offered representation is acceptable' },
  'model-mismatch': { status: 409, title: 'Edge and GPU worker serve different models' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The media type is not supported' },
  'internal-error': { status: 500, title: 'Something went wrong on our side' },
  'bad-gateway': { status: 502, title: 'The GPU worker sent an invalid reply' },
  'worker-unavailable': { status: 503, title: 'No GPU worker can be reached' },
  'model-unavailable': { status: 503, title: 'The GPU worker serves another model' },
  'cache-unavailable': { status: 503, title: 'The cache of embeddings cannot be reached' },
  overloaded: { status: 503, title: 'The service is busy' },
  'shutting-down': { status: 503, title: 'The GPU worker is shutting down' },
  'deadline-exceeded': { status: 504, title: 'The answer took too long' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemSlug = keyof typeof PROBLEMS;

/** RFC 9457 problem document. `field` names the offending member of the request, where there is one. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  field: z.optional(z.string()),
  limit: z.optional(z.number()),
  actual: z.optional(z.number()),
  retry_after: z.optional(z.number()),
});
export type Problem = z.infer<typeof Problem>;

type Extras = Partial<Pick<Problem, 'field' | 'limit' | 'actual' | 'retry_after'>>;

/**
 * An error whose text may be shown to the client. Anything else becomes `internal-error`, without its text.
 * @example throw new ApiError('no-image', 'The body is empty: send an image.', { field: 'image' });
 */
export class ApiError extends Error {
  readonly slug: ProblemSlug;
  readonly extras: Extras;

  /**
   * @param detail one sentence for the caller: what is wrong and what to do about it
   * @param extras members added to the problem; `retry_after` is in seconds
   */
  constructor(slug: ProblemSlug, detail: string, extras: Extras & { cause?: unknown } = {}) {
    const { cause, ...members } = extras;
    super(detail, cause === undefined ? undefined : { cause });
    this.name = 'ApiError';
    this.slug = slug;
    this.extras = members;
  }

  get status(): (typeof PROBLEMS)[ProblemSlug]['status'] {
    return PROBLEMS[this.slug].status;
  }

  toProblem(): Problem {
    const { status, title } = PROBLEMS[this.slug];
    return { type: `/problems/${this.slug}`, title, status, detail: this.message, ...this.extras };
  }

  /** The error that a problem document of the GPU worker stands for. An unknown type becomes `bad-gateway`. */
  static fromProblem(problem: Problem): ApiError {
    const { type, detail, title: _title, status: _status, ...extras } = problem;
    const slug = type.replace(/^.*\/problems\//, '');
    if (Object.hasOwn(PROBLEMS, slug)) return new ApiError(slug as ProblemSlug, detail, extras);
    return new ApiError('bad-gateway', `The GPU worker reported an unknown problem (${type}).`);
  }

  /** Turns whatever was thrown into an `ApiError`; unknown errors keep their text on this side, as `cause`. */
  static from(thrown: unknown): ApiError {
    if (thrown instanceof ApiError) return thrown;
    return new ApiError('internal-error', 'An unexpected error happened. It was logged.', {
      cause: thrown,
    });
  }
}

/** `application/problem+json` response, with `Retry-After` where the problem has one. */
export function problemResponse(error: ApiError, headers: Record<string, string> = {}): Response {
  const problem = error.toProblem();
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(problem.retry_after === undefined ? {} : { 'retry-after': String(problem.retry_after) }),
      ...headers,
    },
  });
}
