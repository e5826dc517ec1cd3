/** The problems that an operation can reply with, by status. */
import { PROBLEMS, type Problem, type ProblemSlug } from '@blip2/shared/errors';
import { IDEMPOTENCY_KEY, type ReplyHeader } from '@blip2/shared/schemas/headers';
import { huggingFaceStatus } from '../../dialects/hugging-face/errors.ts';
import { replicateStatus } from '../../dialects/replicate/errors.ts';
import type { Route } from '../route.ts';
import { EXAMPLES } from './examples.ts';
import { reference, type SchemaName } from './schemas.ts';

/** What every route can reply with. */
const EVERYWHERE: readonly ProblemSlug[] = ['method-not-allowed', 'internal-error'];

/** The errors of dialects, which are plain JSON. */
const IN_JSON: Record<NonNullable<Route['errors']>, SchemaName> = {
  openai: 'OpenAiError',
  both: 'OpenAiError',
  'hugging-face': 'HuggingFaceError',
  ollama: 'OllamaError',
  moondream: 'OpenAiError',
  replicate: 'ReplicateError',
};

/** What Moondream's client for Node gets, which reads no JSON here. */
const MOONDREAM_NODE = {
  schema: {
    type: 'string',
    description:
      'For `moondream-node`: an event `error`, an OpenAiError, and one that is no JSON, at which that client throws.',
  },
};

/** The status of a problem in dialects that have their own. */
const STATUSES: Partial<Record<NonNullable<Route['errors']>, (slug: ProblemSlug) => number>> = {
  'hugging-face': huggingFaceStatus,
  replicate: replicateStatus,
};

/** What a route that needs a key can reply with before anything else. */
const OF_KEYS: readonly ProblemSlug[] = [
  'missing-key',
  'invalid-key',
  'key-out-of-scope',
  'not-configured',
  'keys-unavailable',
  'limits-unavailable',
];

/** What a route that takes an `Idempotency-Key` can reply with. */
const OF_IDEMPOTENCY: readonly ProblemSlug[] = [
  'idempotency-key-reused',
  'idempotency-reply-dropped',
  'idempotency-full',
  'idempotency-unavailable',
  'too-many-requests',
  'unsupported-parameter',
  'deadline-exceeded',
];

type Problematic = Pick<Route, 'tag' | 'isSigned' | 'problems' | 'parameters'>;

/** The problems of a route, apart from those of every route. */
export function problemsOf({ tag, isSigned, problems, parameters }: Problematic): ProblemSlug[] {
  if (tag === 'service') return [...problems];
  const ofLimits: ProblemSlug[] = tag === 'usage' || isSigned ? [] : ['quota-exceeded'];
  const ofKey = takesIdempotencyKey({ parameters }) ? OF_IDEMPOTENCY : [];
  return [
    ...new Set([
      ...(isSigned ? [] : OF_KEYS),
      ...ofLimits,
      ...problems,
      ...ofKey,
      // Where all places of the isolate are taken.
      'overloaded' as const,
    ]),
  ];
}

export function takesIdempotencyKey({ parameters }: Pick<Route, 'parameters'>): boolean {
  return IDEMPOTENCY_KEY in parameters.header.shape;
}

/** Headers of problems beside `x-request-id` and `cache-control`. */
const HEADERS_OF: Partial<Record<number, readonly ReplyHeader[]>> = {
  401: ['www-authenticate'],
  403: ['www-authenticate'],
  405: ['allow'],
  415: ['accept-encoding'],
  416: ['content-range'],
  429: ['retry-after', 'retry-after-ms', 'ratelimit', 'ratelimit-policy'],
  503: ['retry-after'],
};

/**
 * @param headers the headers of a reply, as the document describes them
 */
export function problemResponses(
  route: Problematic & Pick<Route, 'errors'>,
  headers: (names: readonly ReplyHeader[]) => object,
): Record<string, object> {
  const { errors } = route;
  const statusOf = errors === undefined ? undefined : STATUSES[errors];
  const replayed: ReplyHeader[] = takesIdempotencyKey(route) ? ['idempotent-replayed'] : [];
  const byStatus = Object.groupBy(
    [...new Set([...problemsOf(route), ...EVERYWHERE])],
    (slug) => statusOf?.(slug) ?? PROBLEMS[slug].status,
  );
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, same = []]) => {
      const natively = same.map((slug) => HEADERS_OF[PROBLEMS[slug].status] ?? []);
      const extra = [...new Set(natively.flat())];
      return [
        status,
        {
          description: same.map(describe).join('\n'),
          headers: headers(['cache-control', ...extra, ...replayed]),
          content: {
            ...(errors !== undefined && {
              'application/json': {
                schema: reference(IN_JSON[errors]),
                examples: EXAMPLES[IN_JSON[errors]],
              },
            }),
            ...(errors === 'moondream' && { 'text/event-stream': MOONDREAM_NODE }),
            ...((errors === undefined || errors === 'both') && {
              'application/problem+json': {
                schema: {
                  allOf: [
                    reference('Problem'),
                    {
                      type: 'object',
                      properties: {
                        type: { type: 'string', enum: same.map((slug) => `/problems/${slug}`) },
                      },
                    },
                  ],
                },
                examples: Object.fromEntries(
                  same.map((slug) => [slug, { $ref: `#/components/examples/${slug}` }]),
                ),
              },
            }),
          },
        },
      ];
    }),
  );
}

function describe(slug: ProblemSlug): string {
  const { cause, remedy } = PROBLEMS[slug];
  return `- \`${slug}\`: ${cause} ${remedy}`;
}

/** Examples of these problems, and of those of every route, by slug. */
export function problemExamples(slugs: readonly ProblemSlug[]): Record<string, object> {
  const all = new Set([...slugs, ...EVERYWHERE]);
  return Object.fromEntries(
    [...all].map((slug) => {
      const { status, title, cause } = PROBLEMS[slug];
      const value: Problem = {
        type: `/problems/${slug}`,
        title,
        status,
        detail: cause.replaceAll('`', ''),
        ...MEMBERS[slug],
      };
      return [slug, { summary: title, value }];
    }),
  );
}

/** What the replies of this service say where it is more than the cause. */
const MEMBERS: Partial<Record<ProblemSlug, Partial<Problem>>> = {
  'invalid-request': { detail: 'max_tokens: must be more than 0.', field: 'max_tokens' },
  'invalid-json': { detail: 'The body is not valid JSON.' },
  'no-image': {
    detail: 'Send the image as image.data, image.url or image.sha256.',
    field: 'image',
  },
  'several-images': {
    detail: 'Send one of image.data, image.url and image.sha256.',
    field: 'image',
  },
  'invalid-base64': {
    detail: 'image.data must be base64, or a data: URL with base64.',
    field: 'image.data',
  },
  'invalid-image': {
    detail: 'These bytes are not an image; send JPEG, PNG, WebP, GIF or AVIF.',
    field: 'image',
  },
  'prompt-too-long': {
    detail: 'The text has 240 tokens; beside the image there is room for 223.',
    field: 'question',
    limit: 223,
    actual: 240,
  },
  'unknown-image': { field: 'image.sha256' },
  'method-not-allowed': { detail: 'PUT is not possible here; use POST, OPTIONS.' },
  'body-too-large': {
    detail: 'At most 20971520 bytes are accepted.',
    limit: 20_971_520,
    actual: 31_457_280,
  },
  'missing-key': { detail: 'Send a key of this service, as `Authorization: Bearer sk-…`.' },
  'keys-unavailable': { retry_after: 5 },
  'limits-unavailable': { retry_after: 1 },
  'quota-exceeded': {
    detail: 'This key may send 60 requests a minute: try again in 3 seconds.',
    limit: 60,
    retry_after: 3,
  },
  'worker-unavailable': { detail: 'The GPU worker cannot be reached.', retry_after: 5 },
  'model-unavailable': {
    detail: 'model: the GPU worker serves another revision',
    retry_after: 5,
  },
  'cache-unavailable': { retry_after: 5 },
  'too-many-requests': { limit: 36, retry_after: 1 },
  overloaded: { retry_after: 1 },
  'shutting-down': { detail: 'This worker accepts no more requests.', retry_after: 1 },
};
