/** The one family of errors that crosses a boundary: RFC 9457 problem documents with a stable type. */
import * as z from 'zod/mini';
import { described, describedMembers } from './schemas/described.ts';

/** A kind of problem. `cause` and `remedy` are a sentence each, in Markdown. */
export type ProblemKind = { status: number; title: string; cause: string; remedy: string };

/**
 * Every problem that a client can meet, by its slug.
 * The slug is the stable part of `type` (`/problems/<slug>`); all texts may be reworded.
 */
export const PROBLEMS = {
  'invalid-request': {
    status: 400,
    title: 'The request is not valid',
    cause: 'A field is missing, unknown, of another type, or out of its range.',
    remedy: '`field` names it and `detail` what is allowed; `/openapi.json` has every schema.',
  },
  'unsupported-parameter': {
    status: 400,
    title: 'A parameter is not supported',
    cause:
      'The request asks for something that this service does not do, and that would change the reply.',
    remedy: 'Leave out what `field` names; `detail` says what is done instead.',
  },
  'invalid-json': {
    status: 400,
    title: 'The body is not valid JSON',
    cause: 'The body is called JSON and is not, or is not UTF-8.',
    remedy: 'Send UTF-8 JSON, or the image itself with its own `Content-Type`.',
  },
  'invalid-multipart': {
    status: 400,
    title: 'The multipart body cannot be read',
    cause: 'The body is not what its `Content-Type` says, or ends before its last boundary.',
    remedy:
      'Let an HTTP library write body and `Content-Type` together; `detail` says what is missing.',
  },
  'invalid-content-encoding': {
    status: 400,
    title: 'The body cannot be decompressed',
    cause: 'The body is not compressed as `Content-Encoding` says, or is cut off or damaged.',
    remedy: 'Send it whole and compressed so, or without `Content-Encoding`.',
  },
  'no-image': {
    status: 400,
    title: 'No image was sent',
    cause: 'The request names no image, or a task needs the image itself and got its hash.',
    remedy:
      'Send the bytes, a file named `image`, `image.data`, `image.url`, or a hash that was sent before.',
  },
  'several-images': {
    status: 400,
    title: 'More than one image was sent',
    cause: 'One request names more than one image.',
    remedy: 'Send one request for each image.',
  },
  'invalid-base64': {
    status: 400,
    title: 'The image is not valid base64',
    cause: 'The text is neither base64 nor a `data:` URL, or is cut off.',
    remedy: 'Encode the bytes as base64, without line numbers or quotes in it.',
  },
  'invalid-image': {
    status: 400,
    title: 'The image cannot be read',
    cause:
      'The bytes begin as no image does, or as one whose rest is cut off or damaged, or on which the decoder fails.',
    remedy:
      'Open the file in another program: if that cannot, it was damaged on its way, often by being handled as text; if it can, save it as PNG.',
  },
  'image-too-large': {
    status: 400,
    title: 'The image is too large to decode',
    cause:
      'The image has more pixels (or bytes, of formats that take longer to decode), a longer side, more frames, metadata or parts than are accepted, or decoding it takes more memory or time than the operator allows; `detail` says which.',
    remedy:
      'Scale it down, or save it as a plain JPEG: the model uses a few hundred pixels a side.',
  },
  'image-url-refused': {
    status: 400,
    title: 'The image URL is not allowed',
    cause: 'The URL is not http or https, or leads to a private network.',
    remedy: 'Use a public URL, or send the bytes.',
  },
  'image-url-failed': {
    status: 400,
    title: 'The image could not be fetched from its URL',
    cause:
      'The host could not be reached, did not answer in time, answered with an error, broke off, or sent something else than an image; `detail` says which.',
    remedy:
      'Do what `detail` says, check the URL in a browser without being signed in, or send the bytes.',
  },
  'prompt-too-long': {
    status: 400,
    title: 'The text does not fit the context',
    cause:
      'Image positions and text leave no room for a token in the positions of the model, or the text has more tokens than its Q-Former reads.',
    remedy: 'Shorten the text or the history; `limit` and `actual` are the numbers.',
  },
  'missing-key': {
    status: 401,
    title: 'A key is needed',
    cause: 'The request has no key, and this service is not open to everybody.',
    remedy:
      'Send `Authorization: Bearer sk-…` or `x-api-key: sk-…`, with a key that the operator gave you.',
  },
  'invalid-key': {
    status: 401,
    title: 'The key is not valid',
    cause: 'The key is none of this service, was revoked, or has expired.',
    remedy: 'Check that it was copied whole, or ask the operator for another.',
  },
  'key-out-of-scope': {
    status: 403,
    title: 'The key is not good for this',
    cause:
      'The key was made for other routes than this one; `detail` names the scope that it lacks.',
    remedy: 'Use another key, or ask the operator for one with this scope.',
  },
  'deletion-refused': {
    status: 403,
    title: 'Without a key nothing is deleted here',
    cause:
      'What is remembered of an image is shared by all callers without a key, and the operator lets none of them delete it.',
    remedy: 'Use a key. Operators: set `ALLOW_ANONYMOUS_DELETE=true` to let everybody delete.',
  },
  'no-retrieval-model': {
    status: 404,
    title: 'No retrieval model is served',
    cause: 'Matching and ITC embeddings need a retrieval model, and none is served.',
    remedy: 'Operators: set `BLIP2_RETRIEVAL_CHECKPOINT`.',
  },
  'model-not-found': {
    status: 404,
    title: 'This model is not served',
    cause: 'The request names a model that is not served here, or not for this.',
    remedy: 'Name one that `GET /v1/models` lists.',
  },
  'not-found': {
    status: 404,
    title: 'There is nothing here',
    cause: 'There is no such path.',
    remedy: '`/openapi.json` lists all of them.',
  },
  'unknown-image': {
    status: 404,
    title: 'No embeddings are cached for this image',
    cause:
      'Nothing is cached under this hash: the image was never sent, or for another kind or another instruction, or to a model of another revision.',
    remedy: 'Send the image itself once, to `/v1/embeddings` with `kind` `itc` for ITC embeddings.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'The method is not allowed here',
    cause: 'The path exists for another method.',
    remedy: 'Use one that the header `Allow` names.',
  },
  'not-acceptable': {
    status: 406,
    title: 'No offered representation is acceptable',
    cause: '`Accept` allows none of the forms in which this can be sent.',
    remedy: 'Add one that `detail` names, or leave `Accept` out.',
  },
  'model-mismatch': {
    status: 409,
    title: 'Edge and GPU worker serve different models',
    cause: 'Edge and GPU worker were started with different checkpoints or precisions.',
    remedy: 'Operators: deploy both for the same one.',
  },
  'job-not-ready': {
    status: 409,
    title: 'The job is not as far as that',
    cause:
      'The job has no results yet, or never will; or it has not ended, or has no failed items, and so cannot be run again. `detail` says which.',
    remedy: 'Do what `detail` says. `GET /v1/jobs/{id}/events` ends when a job does.',
  },
  'idempotency-reply-dropped': {
    status: 409,
    title: 'The request was carried out, and its reply is no longer stored',
    cause:
      'A request with this `Idempotency-Key` was carried out within the last 24 hours. Later requests with keys of the same caller needed the room of its reply.',
    remedy:
      'Look up what it has made, where it has made something. To have it carried out anew, send it with a new `Idempotency-Key`.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    cause:
      'The body has more bytes than the operator allows, or more in another charset than UTF-8 than is converted; `detail` says which.',
    remedy:
      'Send a smaller file: JPEG or WebP of a few hundred pixels a side. Send texts in UTF-8.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The media type is not supported',
    cause:
      'The bytes are of a format that is not decoded, which `detail` names, or `Content-Type` is none that this route reads and the bytes are no image.',
    remedy:
      'Convert the image as `detail` says. An image is read under any `Content-Type`; other forms are `multipart/form-data`, `application/x-www-form-urlencoded` and `application/json`, in UTF-8.',
  },
  'unsupported-content-encoding': {
    status: 415,
    title: 'The content coding is not supported',
    cause:
      '`Content-Encoding` names a compression that is not read, or several one over the other.',
    remedy: 'Use one that the header `Accept-Encoding` names, or none.',
  },
  'range-not-satisfiable': {
    status: 416,
    title: 'There are no such bytes',
    cause: '`Range` names bytes behind the end.',
    remedy: 'Ask for bytes before the length that `Content-Range` names.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The Idempotency-Key belongs to another request',
    cause:
      'A request with another path, query, body, `Accept`, `Content-Type` or `Prefer` had this `Idempotency-Key` within the last 24 hours.',
    remedy: 'Repeat that request unchanged, or send this one with a key of its own.',
  },
  'too-many-requests': {
    status: 429,
    title: 'This client asks for too much at once',
    cause:
      'One client may have half of the places, so that others have the rest; `limit` is their number. Its jobs are created one after the other, too; `detail` says which.',
    remedy:
      'Wait for the seconds of `Retry-After`, have at most `limit` requests under way at a time, and put many items into one job.',
  },
  'quota-exceeded': {
    status: 429,
    title: 'A limit of this caller is used up',
    cause:
      'The key, or the address, has used what the operator allows it: requests or tokens a minute, images a day, or streams open at a time; `detail` says which, and `limit` is the number.',
    remedy:
      'Wait for the seconds of `Retry-After`; without it, ask for less at a time. `GET /v1/usage` shows what is left. Operators: see `docs/limits.md`.',
  },
  'storage-full': {
    status: 429,
    title: 'This caller has as many jobs or files as one may have',
    cause:
      'The files that are stored take all the room that one caller has for them, as many jobs as one caller may have at a time have not ended, or as many as one key may have are stored; `detail` says which.',
    remedy:
      'Delete files or jobs that are no longer needed, wait for the end of a job, or cancel one.',
  },
  'idempotency-full': {
    status: 429,
    title: 'Too many keys came at once',
    cause:
      'As many keys as one caller may have came within the last ten minutes: none of them is forgotten so soon.',
    remedy:
      'Leave `Idempotency-Key` out where a repeated request does no harm, or wait for the seconds of `Retry-After`.',
  },
  'internal-error': {
    status: 500,
    title: 'Something went wrong on our side',
    cause: 'A fault of this service. It was logged with the request id.',
    remedy: 'Try again; if it stays, report it with the header `x-request-id`.',
  },
  'not-configured': {
    status: 500,
    title: 'This deployment is not complete yet',
    cause:
      'The operator has neither bound keys nor opened the service to everybody, or has not bound what this route stores things in, or what counts the limits that are set.',
    remedy:
      'Operators: bind a KV namespace as `KEYS` and create a key with `npm run keys`, or set `ALLOW_ANONYMOUS=true`; bind the Durable Objects of `wrangler.toml`, or set the limits to `none`.',
  },
  'computation-failed': {
    status: 500,
    title: 'The model could not compute this request',
    cause:
      'What the model computed for this request is not finite (NaN or infinite), or its computation failed. Other requests in the same batch go on.',
    remedy:
      'Try again with other options or another image. Operators: see whether every image fails; then the weights are damaged, or overflow in this precision.',
  },
  'bad-gateway': {
    status: 502,
    title: 'The GPU worker sent an invalid reply',
    cause: 'The GPU worker, or a proxy before it, sent what is no valid reply.',
    remedy: 'Try again. Operators: check that `GPU_WORKER_URL` leads to a worker of this version.',
  },
  'worker-unavailable': {
    status: 503,
    title: 'No GPU worker can be reached',
    cause: 'No GPU worker can be reached, or it is not ready.',
    remedy: 'Wait for the seconds of `Retry-After`. Cached embeddings can still be read.',
  },
  'model-unavailable': {
    status: 503,
    title: 'The GPU worker serves another model',
    cause: 'The GPU worker serves another model than this edge was deployed for.',
    remedy: 'Wait until the deployment is complete. Operators: see `model-mismatch`.',
  },
  'cache-unavailable': {
    status: 503,
    title: 'The cache of embeddings cannot be reached',
    cause: 'The cache did not answer, and only the hash of the image was sent.',
    remedy: 'Send the image itself, or try again.',
  },
  'keys-unavailable': {
    status: 503,
    title: 'Keys cannot be looked up',
    cause: 'The store of keys did not answer, and without it nobody is let in.',
    remedy: 'Wait for the seconds of `Retry-After`.',
  },
  'limits-unavailable': {
    status: 503,
    title: 'Limits cannot be looked up',
    cause:
      'What counts the use of this caller did not answer, and without it nothing is done for callers with limits.',
    remedy:
      'Wait for the seconds of `Retry-After`. Operators: `LIMITS_FAIL_OPEN=true` lets such requests in.',
  },
  'idempotency-unavailable': {
    status: 503,
    title: 'The reply of an Idempotency-Key cannot be had',
    cause:
      'The store of replies did not answer, or the first request with this key ended before its reply.',
    remedy: 'Send the same request with the same key after the seconds of `Retry-After`.',
  },
  'jobs-unavailable': {
    status: 503,
    title: 'No jobs are run here',
    cause: 'This deployment has no queue for jobs.',
    remedy:
      'Send the requests one by one. Operators: start without `--no-jobs`; on Cloudflare bind the Durable Objects and the bucket of `wrangler.toml`, and set `JOBS_QUEUE_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `JOBS_SECRET`; see `docs/jobs.md`.',
  },
  overloaded: {
    status: 503,
    title: 'The service is busy',
    cause:
      'All slots and the queue are taken, by all clients together, or the part of them that background work may have; or the edge works on as many requests as it can; or large bodies take all memory that there is for them; or what stores files, jobs and predictions is full or does not answer.',
    remedy: 'Wait for the seconds of `Retry-After`.',
  },
  'shutting-down': {
    status: 503,
    title: 'The GPU worker is shutting down',
    cause: 'This worker finishes what it has and accepts nothing new.',
    remedy: 'Wait for the seconds of `Retry-After`.',
  },
  'deadline-exceeded': {
    status: 504,
    title: 'The answer took too long',
    cause:
      'The request was not finished in the time that the operator allows, its upload included.',
    remedy: 'Lower `max_tokens`, `n` or `num_beams`, or try again when the service is less busy.',
  },
} as const satisfies Record<string, ProblemKind>;

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

described(Problem, 'A problem document (RFC 9457).');
describedMembers(Problem.shape, {
  type: [
    'Which problem it is: stable, and a path of this service that explains it.',
    '/problems/invalid-request',
  ],
  title: ['The kind of problem, for people.', 'The request is not valid'],
  status: ['The HTTP status.', 400],
  detail: [
    'What is wrong with this request, and what to do about it.',
    'max_tokens: must be more than 0.',
  ],
  field: ['The member of the request that is wrong.', 'max_tokens'],
  limit: ['What is allowed at most.', 95],
  actual: ['What was sent instead.', 140],
  retry_after: ['Seconds after which to try again.', 5],
});

type Extras = Partial<Pick<Problem, 'field' | 'limit' | 'actual' | 'retry_after'>>;
type HeaderFields = Readonly<Record<string, string>>;

/**
 * An error whose text may be shown to the client. Anything else becomes `internal-error`, without its text.
 * @example throw new ApiError('no-image', 'The body is empty: send an image.', { field: 'image' });
 */
export class ApiError extends Error {
  readonly slug: ProblemSlug;
  readonly extras: Extras;
  /** Headers of the reply; they stay on this side. */
  readonly headers: HeaderFields;

  /**
   * @param detail one sentence for the caller: what is wrong and what to do about it
   * @param extras members added to the problem; `retry_after` is in seconds
   */
  constructor(
    slug: ProblemSlug,
    detail: string,
    extras: Extras & { cause?: unknown; headers?: HeaderFields } = {},
  ) {
    const { cause, headers = {}, ...members } = extras;
    super(detail, cause === undefined ? undefined : { cause });
    this.name = 'ApiError';
    this.slug = slug;
    this.extras = members;
    this.headers = headers;
  }

  get status(): (typeof PROBLEMS)[ProblemSlug]['status'] {
    return PROBLEMS[this.slug].status;
  }

  toProblem(): Problem {
    const { status, title } = PROBLEMS[this.slug];
    return { type: `/problems/${this.slug}`, title, status, detail: this.message, ...this.extras };
  }

  /** The error of a problem document of the GPU worker. An unknown type becomes `bad-gateway`. */
  static fromProblem(problem: Problem): ApiError {
    const { type, detail, title: _title, status: _status, ...extras } = problem;
    const slug = type.replace(/^.*\/problems\//, '');
    if (Object.hasOwn(PROBLEMS, slug)) return new ApiError(slug as ProblemSlug, detail, extras);
    return new ApiError('bad-gateway', `The GPU worker reported an unknown problem (${type}).`);
  }

  /** Turns whatever was thrown into an `ApiError`; the text of other errors stays on this side, as `cause`. */
  static from(thrown: unknown): ApiError {
    if (thrown instanceof ApiError) return thrown;
    return new ApiError('internal-error', 'An unexpected error happened. It was logged.', {
      cause: thrown,
    });
  }
}

/** Lasts until somebody does something: clients that try again after any 5xx, or a 409, are to leave it. */
const LASTING: ReadonlySet<ProblemSlug> = new Set([
  'not-configured',
  'jobs-unavailable',
  'idempotency-reply-dropped',
]);

/** `application/problem+json` response, with the error's headers, and `Retry-After` where the problem has one. */
export function problemResponse(error: ApiError, headers: HeaderFields = {}): Response {
  const problem = error.toProblem();
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(problem.retry_after === undefined ? {} : { 'retry-after': String(problem.retry_after) }),
      ...rateLimitHeaders(error),
      ...(LASTING.has(error.slug) && { 'x-should-retry': 'false' }),
      ...error.headers,
      ...headers,
    },
  });
}

/** The caller's own limit as draft-ietf-httpapi-ratelimit-headers has it: a number of requests at a time. */
function rateLimitHeaders({ slug, extras: { limit, retry_after } }: ApiError): HeaderFields {
  if (slug !== 'too-many-requests' || limit === undefined) return {};
  const wait = retry_after === undefined ? '' : `;t=${retry_after}`;
  return {
    'ratelimit-policy': `"client";q=${limit};qu="concurrent-requests"`,
    ratelimit: `"client";r=0${wait}`,
  };
}
