/** What can go wrong, and the words for people: of the API's, which are for programs, only what a file is. */
import type { Problem } from '@blip2/shared/errors';

/** A slug of `shared/src/errors.ts`, or one of the page's own. */
export class Failure extends Error {
  readonly slug: string;
  /** Seconds after which to try again, where the service says so. */
  readonly retryAfter: number | undefined;
  /** What the service says of it, in the words of the API. */
  readonly detail: string;

  constructor(
    slug: string,
    { retry_after, detail = '' }: Partial<Pick<Problem, 'retry_after' | 'detail'>> = {},
  ) {
    super(slug);
    this.slug = slug;
    this.retryAfter = retry_after;
    this.detail = detail;
  }

  /** @param problem what came in place of a reply, which a proxy on the way may have written */
  static from(problem: Partial<Problem> | null, status: number): Failure {
    const [, slug] = /\/problems\/([\w-]+)$/.exec(problem?.type ?? '') ?? [];
    return new Failure(slug ?? (status >= 500 ? 'unreachable' : 'misunderstood'), problem ?? {});
  }
}

/** What helps: the same again, another image, another question. */
type Remedy = 'retry' | 'image' | 'question';
export type Words = { sentence: string; remedy: Remedy };

const READ = 'JPEG, PNG, WebP, GIF and AVIF can be read.';
const MISUNDERSTOOD: Words = {
  sentence:
    'This page and the service do not understand each other. Reload the page, then try again.',
  remedy: 'retry',
};

/** By slug. A test asks for each that the API has. */
export const WORDS: Readonly<Record<string, Words>> = {
  // The page's own.
  unreachable: {
    sentence: 'The service cannot be reached. Check your connection, then try again.',
    remedy: 'retry',
  },
  'cut-off': {
    sentence: 'The connection broke off before the end. Try again.',
    remedy: 'retry',
  },
  'unreadable-file': {
    sentence: 'This file cannot be opened. Is it a folder, or was it moved meanwhile?',
    remedy: 'image',
  },
  'empty-file': { sentence: 'This file is empty.', remedy: 'image' },
  misunderstood: MISUNDERSTOOD,

  // The image.
  'no-image': { sentence: 'No image arrived. Choose one, then try again.', remedy: 'image' },
  'several-images': { sentence: 'One image at a time, please.', remedy: 'image' },
  'invalid-base64': { sentence: 'The address holds no whole image.', remedy: 'image' },
  'invalid-image': {
    sentence: `This cannot be read as an image: it may be damaged, or of another kind. ${READ}`,
    remedy: 'image',
  },
  'unsupported-media-type': {
    sentence: `Images of this kind cannot be read. ${READ} Other programs can save it as one of these.`,
    remedy: 'image',
  },
  'image-too-large': {
    sentence: 'This image is too large. Save it smaller, then choose it again.',
    remedy: 'image',
  },
  'body-too-large': {
    sentence: 'This file is too large. Save it smaller, or as JPEG, then choose it again.',
    remedy: 'image',
  },
  'image-url-refused': {
    sentence: 'Images are not fetched from this address: it has to be a public one of the web.',
    remedy: 'image',
  },
  'image-url-failed': {
    sentence:
      'No image could be fetched from this address. Does it open in a private window of your browser? Otherwise save the image, and choose the file.',
    remedy: 'retry',
  },
  'unknown-image': { sentence: 'The image has been forgotten. Try again.', remedy: 'retry' },

  // The question.
  'prompt-too-long': {
    sentence: 'This question is too long. Ask a shorter one.',
    remedy: 'question',
  },

  // The service.
  overloaded: {
    sentence: 'Too many people are asking right now. Try again shortly.',
    remedy: 'retry',
  },
  'too-many-requests': {
    sentence: 'These were many questions at once. Wait a moment, then try again.',
    remedy: 'retry',
  },
  'quota-exceeded': {
    sentence: 'You have asked as much as this service allows for now. Try again shortly.',
    remedy: 'retry',
  },
  'limits-unavailable': {
    sentence: 'The service cannot count requests right now. Try again in a moment.',
    remedy: 'retry',
  },
  'deadline-exceeded': {
    sentence: 'This took too long and was given up. Try again.',
    remedy: 'retry',
  },
  'worker-unavailable': {
    sentence: 'The model is not running right now. Try again in a moment.',
    remedy: 'retry',
  },
  'shutting-down': {
    sentence: 'The service is restarting. Try again in a moment.',
    remedy: 'retry',
  },
  'model-mismatch': {
    sentence: 'The service is being updated. Try again in a few minutes.',
    remedy: 'retry',
  },
  'model-unavailable': {
    sentence: 'The service is being updated. Try again in a few minutes.',
    remedy: 'retry',
  },
  'cache-unavailable': {
    sentence: 'The service could not look the image up. Try again.',
    remedy: 'retry',
  },
  'internal-error': {
    sentence: 'Something went wrong in the service. It was noted there; try again.',
    remedy: 'retry',
  },
  'computation-failed': {
    sentence:
      'The model could not compute an answer to this. Ask in other words, or try another image.',
    remedy: 'retry',
  },
  'bad-gateway': { sentence: 'Something went wrong in the service. Try again.', remedy: 'retry' },

  // The key.
  'missing-key': { sentence: 'This service needs a key: enter yours below.', remedy: 'retry' },
  'invalid-key': {
    sentence: 'The service does not take this key. Check it, then try again.',
    remedy: 'retry',
  },
  'key-out-of-scope': {
    sentence: 'This key is not good for captions and answers. Enter another.',
    remedy: 'retry',
  },
  'keys-unavailable': {
    sentence: 'Keys cannot be checked now. Try again in a moment.',
    remedy: 'retry',
  },
  'not-configured': {
    sentence: 'This service is not set up yet: its operator has to make keys, or open it.',
    remedy: 'retry',
  },

  // What only a mistake of the page brings about.
  'deletion-refused': MISUNDERSTOOD,
  'invalid-request': MISUNDERSTOOD,
  'invalid-json': MISUNDERSTOOD,
  'invalid-multipart': MISUNDERSTOOD,
  'invalid-content-encoding': MISUNDERSTOOD,
  'unsupported-content-encoding': MISUNDERSTOOD,
  'not-found': MISUNDERSTOOD,
  'method-not-allowed': MISUNDERSTOOD,
  'not-acceptable': MISUNDERSTOOD,
  'no-retrieval-model': MISUNDERSTOOD,
  'model-not-found': MISUNDERSTOOD,
  'unsupported-parameter': MISUNDERSTOOD,
  'idempotency-key-reused': MISUNDERSTOOD,
  'idempotency-full': MISUNDERSTOOD,
  'idempotency-reply-dropped': MISUNDERSTOOD,
  'storage-full': MISUNDERSTOOD,
  'job-not-ready': MISUNDERSTOOD,
  'range-not-satisfiable': MISUNDERSTOOD,
  'jobs-unavailable': MISUNDERSTOOD,
  'idempotency-unavailable': MISUNDERSTOOD,
};

/** @example wordsFor(new Failure('overloaded', { retry_after: 5 })).sentence // 'Too many … Try again in 5 seconds.' */
export function wordsFor(thrown: unknown): Words {
  if (!(thrown instanceof Failure)) return MISUNDERSTOOD;
  const { sentence, remedy } = verdictOf(thrown) ?? WORDS[thrown.slug] ?? MISUNDERSTOOD;
  const { retryAfter } = thrown;
  if (retryAfter === undefined || remedy !== 'retry') return { sentence, remedy };
  const wait = `in ${retryAfter} ${retryAfter === 1 ? 'second' : 'seconds'}.`;
  return { sentence: sentence.replace(/(shortly|in a moment)\.$/, wait), remedy };
}

/** What the API says that a file is: the same here. What helps against it is for programs. */
const VERDICT = /\bThis is [^.]+, (which is not decoded here|not an image)\./;

function verdictOf({ slug, detail }: Failure): Words | undefined {
  if (slug !== 'invalid-image' && slug !== 'unsupported-media-type') return undefined;
  const [verdict] = VERDICT.exec(detail) ?? [];
  return verdict === undefined ? undefined : { sentence: `${verdict} ${READ}`, remedy: 'image' };
}
