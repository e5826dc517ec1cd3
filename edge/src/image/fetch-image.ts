/** Fetches an image from a public URL: each redirect is checked, size and time are limited, the bytes decide what it is. */
import { ApiError } from '@blip2/shared/errors';
import { sniff } from '@blip2/shared/image-format';
import { inflatingCost } from '../http/body-costs.ts';
import { decodeContent, InflatesTooMuch, parseContentEncoding } from '../http/content-encoding.ts';
import { type HeldBody, holdBody } from '../http/held-bodies.ts';
import { mediaType } from '../http/media-type.ts';
import { readLimited } from '../http/read-limited.ts';
import type { Platform } from '../platform.ts';
import { pause } from '../turns/turns.ts';
import { explainConnection } from './connection-failure.ts';
import {
  codingFailure,
  emptyFailure,
  inflationFailure,
  noImageFailure,
  redirectFailure,
  statusFailure,
  timeoutFailure,
  tooLargeFailure,
  transferFailure,
} from './fetch-failures.ts';
import { checkImageUrl } from './public-url.ts';

const MAX_REDIRECTS = 5;
const TIMEOUT_MS = 5000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Like a browser's: what is preferred, but never a reason to refuse. */
const ACCEPT = 'image/avif,image/webp,image/png,image/jpeg,image/gif,image/*;q=0.8,*/*;q=0.5';

export type FetchImageOptions = Pick<Platform, 'fetch'> & {
  maxBytes: number;
  /** Bytes of all bodies that this isolate reads at a time. */
  maxHeldBytes: number;
  /** For whom it is fetched. */
  client: string;
  /** Whether images may be fetched from private addresses, too. */
  allowPrivate: boolean;
  /** Names this service to the host. */
  userAgent: string;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  /** Waits until so many milliseconds of work may be done in one piece; left out where nobody else waits for its end. */
  turn?: (ms: number) => Promise<void>;
};

/**
 * @param address http(s) URL
 * @returns bytes that begin as an image
 * @throws ApiError `image-url-refused`, `image-url-failed`, `body-too-large`, `unsupported-media-type`, `too-many-requests` or `overloaded`; the
 *   signal's reason when it is aborted
 */
export async function fetchImage(
  address: string,
  options: FetchImageOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { maxBytes, maxHeldBytes, client, signal } = options;
  using held = holdingBody(maxHeldBytes, { client, signal });
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response | undefined;
  try {
    response = await lastReply(address, options, AbortSignal.any([signal, timeout]));
    const { status, headers } = response;
    const sent = await readLimited(response, maxBytes, { maxHeldBytes, client, held });
    const bytes = await decoded(sent, headers, options, held);
    if (bytes.byteLength === 0) throw emptyFailure(status);
    const sniffed = sniff(bytes);
    if (sniffed.kind === 'image') {
      // Whoever gets it hashes it at once.
      await options.turn?.(inflatingCost(bytes.length).ms);
      return bytes;
    }
    throw noImageFailure(sniffed, { status, type: mediaType(headers.get('content-type')) });
  } catch (thrown) {
    response?.body?.cancel().catch(() => {});
    // The client went away: the host of the URL is not to blame.
    if (signal.aborted) throw thrown;
    if (timeout.aborted && !(thrown instanceof ApiError))
      throw timeoutFailure(TIMEOUT_MS, response !== undefined, thrown);
    if (!(thrown instanceof ApiError)) throw transferFailure(thrown);
    if (thrown instanceof InflatesTooMuch) throw inflationFailure(thrown);
    if (thrown.slug === 'invalid-content-encoding') throw transferFailure(thrown);
    throw thrown.slug === 'body-too-large' ? tooLargeFailure(thrown) : thrown;
  }
}

/** As for bodies: images that are compressed again hardly shrink, and the platform would inflate any number of bytes. */
const CODINGS = ['gzip', 'x-gzip', 'deflate', 'zstd'];
/** What hosts send, and is not read: some kilobytes of it are seconds of work. */
const UNREAD = 'br';

/** @throws ApiError `invalid-content-encoding`, `body-too-large`, `image-url-failed`, and those of the memory for bodies and of turns */
async function decoded(
  bytes: Uint8Array<ArrayBuffer>,
  headers: Headers,
  { maxBytes: limit, turn = () => pause(1) }: FetchImageOptions,
  held: HeldBody,
) {
  const header = headers.get('content-encoding')?.trim().toLowerCase() ?? '';
  // Some hosts name a coding and send the image itself.
  if (bytes.length === 0 || sniff(bytes).kind === 'image') return bytes;
  if (header === UNREAD) throw codingFailure(header);
  const coding = CODINGS.includes(header) ? parseContentEncoding(header) : null;
  if (coding === null) return bytes;
  return await decodeContent(bytes, {
    ...{ coding, limit, turn },
    onBytes: (more) => held.add(0, more),
  });
}

/** Longer than it is read, and waits for its turns. */
const HELD_MS = 60_000;

function holdingBody(
  most: number,
  whose: { client: string; signal: AbortSignal },
): HeldBody & Disposable {
  const held = holdBody(most, { ...whose, ms: HELD_MS });
  return { ...held, [Symbol.dispose]: held.close };
}

/**
 * The reply at the end of all redirects.
 * @throws ApiError; the signal's reason when it is aborted
 */
async function lastReply(
  address: string,
  { fetch, allowPrivate, userAgent }: FetchImageOptions,
  signal: AbortSignal,
): Promise<Response> {
  const headers = { accept: ACCEPT, 'accept-encoding': 'identity', 'user-agent': userAgent };
  const init = {
    redirect: 'manual',
    // Else the platform's own cache tells by its time whether somebody else has sent this URL.
    cache: 'no-store',
    // Some hosts send codings unasked: the platform would inflate 50 bytes to 20 MB before anything can be counted.
    encodeResponseBody: 'manual',
    signal,
    headers,
  } as const;
  let url = checkImageUrl(address, { allowPrivate });
  const seen = new Set<string>();
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    if (seen.has(url.href)) throw redirectFailure('in a circle');
    seen.add(url.href);
    const response = await fetch(url, init).catch(async (thrown: unknown) => {
      if (signal.aborted) throw thrown;
      throw await explainConnection(thrown, url, (probe) => fetch(probe, init));
    });
    if (response.ok) return response;
    // Not waited for: it may not end.
    response.body?.cancel().catch(() => {});
    const location = response.headers.get('location');
    if (!REDIRECTS.has(response.status) || location === null) throw statusFailure(response.status);
    url = checkImageUrl(location, { allowPrivate, base: url });
  }
  throw redirectFailure(`more than ${MAX_REDIRECTS} times`);
}
