/** Headers of requests and replies, for the OpenAPI document. */
import * as z from 'zod/mini';
import { described } from './described.ts';

/** The name of a request in replies and logs. */
export const requestId = described(
  z.string().check(z.maxLength(255)),
  'Id of the request, also in the header `x-request-id` and in the logs of edge and GPU worker.',
  '7f1c2a30-5b0f-4c6e-9d0a-2f4d8c1b6e57',
);

/** Headers that every route reads. */
const common = {
  'x-request-id': described(
    z.optional(z.string().check(z.maxLength(255), z.regex(/^[\w=-]+$/))),
    'An id for this request, by which logs can be searched. One of another form is replaced by a new one.',
    'album-17-image-3',
  ),
};

/** In lower case, as `Headers` has names. */
export const IDEMPOTENCY_KEY = 'idempotency-key';
/** Characters. */
export const MAX_IDEMPOTENCY_KEY = 255;

const ifNoneMatch = described(
  z.optional(z.string()),
  'The `etag` of an earlier reply: a representation that is still the same is not sent again, but answered with 304.',
  '"f4112ab67441c8c64f31bf11d8bb81a0-0123456789abcdef-x-npy"',
);

export const CommonHeaders = z.object(common);

const contentEncoding = {
  'content-encoding': described(
    z.optional(z.string()),
    'How the body is compressed: `gzip`, `deflate` or `zstd`. Limits hold after inflation.',
    'gzip',
  ),
};

const idempotencyKey = {
  [IDEMPOTENCY_KEY]: described(
    z.optional(z.string().check(z.maxLength(MAX_IDEMPOTENCY_KEY + 2))),
    'A key of your own for this request, such as a UUID. The same request again, with the same key and within 24 hours, gets the same reply; another one with this key is 422. While the first is answered, others wait for its reply.',
    '8e03978e-40d5-43dd-bc93-6894a57f9324',
  ),
};

/** Headers of requests that have a body. */
const ofBody = { ...common, ...contentEncoding, ...idempotencyKey };

export const BodyHeaders = z.object(ofBody);

/** Headers of requests whose body is stored as it comes. */
export const UploadHeaders = z.object({ ...common, ...idempotencyKey });

const ofText = {
  ...ofBody,
  'cache-control': described(
    z.optional(z.string()),
    'Whether a cached reply is taken: `no-cache` or `max-age=0` wants one that is made now, `max-age` one that is no older, in seconds, and `no-store` one that is made now and not cached.',
    'no-cache',
  ),
};

/** Headers of requests for text in a dialect. */
export const TextHeaders = z.object(ofText);

export const CacheableHeaders = z.object({ ...common, 'if-none-match': ifNoneMatch });

export const GenerationHeaders = z.object({
  ...ofText,
  accept: described(
    z.optional(z.string()),
    'Preferring `text/event-stream` to JSON asks for a stream, as `stream: true` does; where `stream` is set, it decides.',
    'text/event-stream',
  ),
});

const acceptEmbeddings = described(
  z.optional(z.string()),
  'Which representation is wanted; without it, JSON.',
  'application/x-npy',
);

export const EmbeddingHeaders = z.object({ ...ofBody, accept: acceptEmbeddings });

/** A look-up changes nothing: it can be repeated without an `Idempotency-Key`. */
export const EmbeddingLookupHeaders = z.object({
  ...common,
  ...contentEncoding,
  accept: described(
    z.optional(z.string()),
    'Which form is wanted: JSON lines, which come without it, a file of safetensors, or one of NumPy.',
    'application/x-safetensors',
  ),
});

export const CachedEmbeddingHeaders = z.object({
  ...common,
  accept: acceptEmbeddings,
  'if-none-match': ifNoneMatch,
});

export const PredictionHeaders = z.object({
  ...ofBody,
  prefer: described(
    z.optional(z.string()),
    '`wait` holds the reply back until the end of the prediction, for 60 seconds at most; `wait=5` for 5.',
    'wait',
  ),
});

export const ResultHeaders = z.object({
  ...common,
  accept: described(
    z.optional(z.string()),
    'Which form is wanted: JSON lines, which come without it, or CSV.',
    'application/x-ndjson',
  ),
  'if-none-match': ifNoneMatch,
  range: described(
    z.optional(z.string()),
    'Of results that no longer change: the bytes that are wanted.',
    'bytes=0-1023',
  ),
  'if-range': described(
    z.optional(z.string()),
    'The `etag` of which `range` is: of another one, all bytes come.',
    '"f4112ab67441c8c64f31bf11d8bb81a0-ndjson-all-"',
  ),
});

export const ResumableHeaders = z.object({
  ...common,
  'last-event-id': described(
    z.optional(z.string()),
    'Number of the last event that came: the stream begins behind it.',
    '2',
  ),
});

/** Headers of replies. */
export const ReplyHeaders = z.object({
  'x-request-id': requestId,
  'server-timing': described(
    z.string(),
    'Milliseconds of the parts of the request. `read`, `lookup` (`reply` where a cached reply was found), the parts of the GPU worker and `wait` add up to `total`.',
    'read;dur=2.0, lookup;dur=3.0, prefill;dur=6.4, decode;dur=30.8, wait;dur=1.8, total;dur=44.0',
  ),
  'cache-control': described(
    z.string(),
    'How long the reply may be cached: `no-store`, or for how many seconds.',
    'no-store',
  ),
  etag: described(
    z.string(),
    'Names this representation; send it as `if-none-match` to learn whether it is still the same.',
    '"f4112ab67441c8c64f31bf11d8bb81a0-0123456789abcdef-x-npy"',
  ),
  location: described(
    z.string(),
    'Where what was created is read.',
    '/v1/jobs/job_3f0c9d1e5a7b48c2',
  ),
  'accept-ranges': described(z.literal('bytes'), 'Ranges of bytes can be asked for.', 'bytes'),
  'content-range': described(
    z.string(),
    'Which bytes these are, and how many there are.',
    'bytes 0-1023/146515',
  ),
  vary: described(z.string(), 'The headers of the request that the reply depends on.', 'accept'),
  'retry-after': described(z.int().check(z.nonnegative()), 'Seconds after which to try again.', 5),
  'www-authenticate': described(
    z.string(),
    'How to authenticate, and what is wrong with the key that was sent.',
    'Bearer realm="blip2", error="invalid_token"',
  ),
  allow: described(z.string(), 'The methods that are possible here.', 'POST, OPTIONS'),
  'x-shape': described(
    z.string().check(z.regex(/^\d+, \d+$/)),
    'Shape of the embeddings: queries, width.',
    '32, 192',
  ),
  'x-dtype': described(
    z.enum(['float16', 'float32']),
    'Type of the values, as NumPy names it.',
    'float32',
  ),
  'content-location': described(
    z.string(),
    'Where the same embeddings are read from the cache.',
    '/v1/embeddings/f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f?kind=query',
  ),
  'idempotent-replayed': described(
    z.literal('true'),
    'This is the reply to an earlier request with the same `Idempotency-Key`.',
    'true',
  ),
  'accept-encoding': described(
    z.string(),
    'The content codings that requests may have.',
    'gzip, deflate, zstd',
  ),
  ratelimit: described(
    z.string(),
    'What is left of each limit, `r`, and the seconds after which there is more, `t`.',
    '"requests";r=59;t=60, "tokens";r=11830;t=60',
  ),
  'ratelimit-policy': described(
    z.string(),
    'The limits of the caller: `q` of a unit in `w` seconds, or at a time. `"client"` is the share of the GPU worker.',
    '"requests";q=60;w=60, "tokens";q=12000;w=60;qu="tokens", "streams";q=4;qu="concurrent-requests"',
  ),
  'retry-after-ms': described(
    z.int().check(z.nonnegative()),
    'Milliseconds after which to try again.',
    1500,
  ),
  'x-ratelimit-limit-requests': described(
    z.int(),
    'Requests that the caller may send a minute.',
    60,
  ),
  'x-ratelimit-remaining-requests': described(z.int(), 'Requests that are left of them.', 59),
  'x-ratelimit-reset-requests': described(
    z.string(),
    'Time after which all of them are there again.',
    '1m0s',
  ),
  'x-ratelimit-limit-tokens': described(
    z.int(),
    'Tokens that the caller may use a minute.',
    12_000,
  ),
  'x-ratelimit-remaining-tokens': described(z.int(), 'Tokens that are left of them.', 11_830),
  'x-ratelimit-reset-tokens': described(
    z.string(),
    'Time after which all of them are there again.',
    '1m0s',
  ),
});
export type ReplyHeader = keyof typeof ReplyHeaders.shape;
