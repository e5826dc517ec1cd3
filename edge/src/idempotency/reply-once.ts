/** Gives all requests with one `Idempotency-Key` one reply: the first of them runs, the others get what it wrote. */
import { imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import type { Config } from '../config.ts';
import type { Deletions } from '../deletion/deletions.ts';
import { drainBody, isLeftUnread } from '../http/drain-body.ts';
import { parseHeaderValue } from '../http/header-value.ts';
import { holdBody } from '../http/held-bodies.ts';
import { longestMs } from '../http/read-stream.ts';
import { hasFailed, lastEventOf } from '../http/sse.ts';
import { sendable } from '../http/stream.ts';
import type { RequestContext } from '../request-context.ts';
import { TooSlowError, within } from '../within.ts';
import { digestOf, digestOfUpload, hashedBody } from './body-digest.ts';
import { idempotencyKeyOf } from './idempotency-key.ts';
import type { IdempotentReplies, Outcome, Run, RunReply } from './idempotent-replies.ts';
import type { ReadImages, Subject } from './stored-replies.ts';

export type OnceDependencies = {
  config: Pick<Config, 'maxBodyBytes' | 'maxImageBytes' | 'maxHeldBytes' | 'deadlineMs'>;
  deletions: Pick<Deletions, 'hasDeleted' | 'lastIn'>;
  idempotency: DurableObjectNamespace<IdempotentReplies> | undefined;
  now: () => number;
};

/** One request. */
export type OnceRequest = {
  request: Request;
  /** Bytes of the largest body, where its route stores the body as it comes: that may take longer than a reply. */
  uploadBytes?: number;
  /** What its headers decide of the form of the reply, as a value of JSON. */
  form: unknown;
  /** Whose key it is. */
  caller: string;
  context: RequestContext;
  /** The images that it has read until now. */
  images: () => ReadImages;
  /** Id of what its reply hands out, once it has. */
  named: () => string | null;
  /** Whether what such an id names is still found. */
  isThere: (named: string) => Promise<boolean>;
  /** Runs it: the same request, whose client never goes away. */
  handle: (request: Request) => Promise<Response>;
  /** The reply to one that fails. */
  toReply: (error: ApiError) => Response;
};

/** What may be otherwise the next time, though its status says that the request is wrong. */
const PASSING = new Set(['unknown-image', 'image-url-failed']);
/** The work itself has a deadline: what it says of that comes first. */
const MARGIN_MS = 1000;
const RETRY_SECONDS = 1;

/**
 * The reply to a request with the header; null to one without.
 * @throws ApiError `invalid-request` for a key that is none, `idempotency-key-reused`, `idempotency-reply-dropped`, `idempotency-full`,
 *   `too-many-requests`,   `idempotency-unavailable`, `unsupported-parameter` where the deployment stores no replies
 */
export async function replyOnce(
  { config, deletions, idempotency, now }: OnceDependencies,
  once: OnceRequest,
): Promise<Response | null> {
  const { request, form, caller, context } = once;
  const key = idempotencyKeyOf(request.headers);
  if (key === null) return null;
  if (idempotency === undefined) {
    const detail =
      'This deployment stores no replies: leave Idempotency-Key out. Operators: bind the Durable Object IdempotentReplies as IDEMPOTENCY.';
    throw new ApiError('unsupported-parameter', detail, { field: 'Idempotency-Key' });
  }
  const [name, head, lastDeletion] = await Promise.all([
    sha256([caller, key]),
    headOf(request, form),
    deletions.lastIn(imagePathOf(context.namespace, ''), context),
  ]);
  // Sixteen objects for each caller: one alone serves some hundreds of requests a second.
  const object = idempotency.get(idempotency.idFromName(`${caller}/${name[0]}`));
  const run = new RequestRun(once, config, deletions);
  context.waitUntil(run.finished);
  const uploadMs = once.uploadBytes === undefined ? 0 : longestMs(once.uploadBytes);
  const ms = context.startedAt + uploadMs + config.deadlineMs + MARGIN_MS - now();
  let outcome: Outcome;
  try {
    const { execute, executedDigest, digest, isGone } = run;
    const running: Promise<Outcome> = object.run(
      name,
      head,
      { execute, executedDigest, digest, isGone },
      lastDeletion,
    );
    outcome = await within(ms, running, 'the reply to an Idempotency-Key');
  } catch (cause) {
    throw failureOf(cause);
  } finally {
    run.giveUp();
  }
  if (run.failure !== undefined) throw run.failure;
  return replyFrom(outcome);
}

function failureOf(cause: unknown): ApiError {
  if (cause instanceof TooSlowError) {
    const detail =
      'The first request with this Idempotency-Key has not been answered yet: try again with the same key.';
    return new ApiError('deadline-exceeded', detail, { cause });
  }
  const detail =
    'The reply of this Idempotency-Key cannot be had now: try again with the same key.';
  return new ApiError('idempotency-unavailable', detail, { cause, retry_after: RETRY_SECONDS });
}

const ended = () => failureOf(new Error('the first request with this key ended without a reply'));

function replyFrom(outcome: Outcome): Response {
  switch (outcome.kind) {
    case 'first':
    case 'replayed': {
      const { status, headers: sent, body } = outcome.response;
      const headers = new Headers(sent);
      if (outcome.kind === 'replayed') {
        headers.set('idempotent-replayed', 'true');
        // That was of the first request.
        headers.delete('server-timing');
      }
      return new Response(body, { status, headers, encodeBody: 'manual' });
    }
    case 'broken':
      throw ended();
    case 'reused':
      throw new ApiError(
        'idempotency-key-reused',
        'This Idempotency-Key belongs to another request: send the same path, query, headers and body again, or a new key.',
        { field: 'Idempotency-Key' },
      );
    case 'dropped':
      throw new ApiError(
        'idempotency-reply-dropped',
        'The request with this Idempotency-Key has been carried out, and was not again. Its reply is no longer stored: your later requests with keys needed the room. To have it carried out anew, send it with a new key.',
        { field: 'Idempotency-Key' },
      );
    case 'full': {
      const retry_after = Math.ceil(outcome.retryAfterMs / 1000);
      const detail = `Too many keys of yours came within minutes: leave Idempotency-Key out, or wait ${retry_after} seconds.`;
      throw new ApiError('idempotency-full', detail, { retry_after });
    }
    case 'busy': {
      const detail =
        'Too many requests with an Idempotency-Key are under way: wait for their replies.';
      throw new ApiError('too-many-requests', detail, { retry_after: RETRY_SECONDS });
    }
  }
}

/** One request as the object calls it back. Its functions are handed out by themselves. */
class RequestRun implements Run {
  readonly #once: OnceRequest;
  readonly #deletions: OnceDependencies['deletions'];
  readonly #limits: { maxBytes: number; ms: number };
  readonly #maxHeldBytes: number;
  readonly #digest = Promise.withResolvers<string | null>();
  readonly #finished = Promise.withResolvers<void>();
  #state: 'waiting' | 'begun' | 'given up' = 'waiting';
  /** Why the body could not be read. */
  failure: ApiError | undefined;

  constructor(
    once: OnceRequest,
    { maxBodyBytes, maxImageBytes, maxHeldBytes, deadlineMs: ms }: OnceDependencies['config'],
    deletions: OnceDependencies['deletions'],
  ) {
    this.#once = once;
    this.#deletions = deletions;
    this.#maxHeldBytes = maxHeldBytes;
    this.#limits = { maxBytes: once.uploadBytes ?? Math.max(maxBodyBytes, maxImageBytes), ms };
  }

  /** Resolves when all of the reply has been read by the object, whoever else reads it. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Called when it will not begin any more. */
  giveUp(): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'given up';
    this.#finished.resolve();
  }

  readonly executedDigest = (): Promise<string | null> => this.#digest.promise;

  readonly digest = async (): Promise<string | null> => {
    const { request, uploadBytes, caller: client } = this.#once;
    const isUpload = uploadBytes !== undefined;
    const { ms } = this.#limits;
    const held = holdBody(this.#maxHeldBytes, {
      ...{ client, signal: request.signal },
      ...(isUpload ? { kind: 'upload', ms: longestMs(uploadBytes) } : { ms }),
    });
    try {
      const read = isUpload ? digestOfUpload : digestOf;
      return await read(request, { ...this.#limits, held });
    } catch (thrown) {
      this.failure = ApiError.from(thrown);
      return null;
    } finally {
      held.close();
    }
  };

  readonly isGone = async ({ images, named }: Subject): Promise<boolean> => {
    const { context, isThere } = this.#once;
    const gone = await Promise.all([
      ...images.map(([path, sentAt]) => this.#deletions.hasDeleted(path, sentAt, context)),
      named !== null && isThere(named).then((found) => !found),
    ]);
    return gone.includes(true);
  };

  readonly execute = async (receive: (reply: RunReply) => Promise<void>): Promise<void> => {
    if (this.#state === 'given up') {
      this.#digest.resolve(null);
      throw new Error('nobody waits for this request any more');
    }
    this.#state = 'begun';
    try {
      await receive(await this.#reply());
    } finally {
      this.#finished.resolve();
    }
  };

  async #reply(): Promise<RunReply> {
    const { request, handle, images, named, toReply, caller } = this.#once;
    const { url, method, headers } = request;
    const { body, digest, giveUp } = hashedBody(request);
    this.#digest.resolve(digest);
    let isPassing = false;
    let response: Response;
    // Without the signal of the client: a reply that is the key's goes on when the client is gone.
    const passedOn = new Request(url, { method, headers, body });
    try {
      response = await handle(passedOn);
    } catch (thrown) {
      const error = ApiError.from(thrown);
      isPassing = PASSING.has(error.slug);
      response = toReply(error);
    }
    // As without a key: that of the client is being read from the beginning.
    if (isLeftUnread(passedOn)) await drainBody(passedOn, this.#limits.ms, caller);
    giveUp();
    return {
      status: response.status,
      headers: [...response.headers],
      body: sendable(response.body ?? new Blob([]).stream()),
      lastEvent: lastEventOf(response, ended()),
      subject: async () => ({ images: images(), named: named() }),
      isFinal: async () => !isPassing && isLasting(response.status) && !hasFailed(response),
    };
  }
}

/** 409 and 429 are about the moment, 5xx about the service. */
function isLasting(status: number): boolean {
  return status < 500 && status !== 409 && status !== 429;
}

/** Digest of what a request says beside its body. Of its headers what they decide counts: clients word them in many ways. */
function headOf({ method, url, headers }: Request, form: unknown): Promise<string> {
  const { pathname, search } = new URL(url);
  const { value, parameters } = parseHeaderValue(headers.get('content-type'));
  const type = [...parameters].filter(([name]) => name !== 'boundary');
  const coding = (headers.get('content-encoding') ?? 'identity').trim().toLowerCase();
  return sha256([method, pathname, search, value, type, coding, form]);
}

async function sha256(value: unknown): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).toHex();
}
