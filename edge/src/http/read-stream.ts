/** A body of a request as it comes, for what is stored and not held: bounded in time between its pieces. */
import { ApiError } from '@blip2/shared/errors';
import { TooSlowError, within } from '../within.ts';
import { bodyReader } from './body-reader.ts';
import { bodyTooLarge } from './read-limited.ts';

/** Bytes a second that an upload comes at least with, once it has had a while: what has come of it is in memory until there is a part. */
const SLOWEST = 4096;
const BEGINNING_MS = 60_000;

/** How long a body of so many bytes may take to come, milliseconds. */
export function longestMs(bytes: number): number {
  return BEGINNING_MS + (1000 * bytes) / SLOWEST;
}

/** @throws ApiError `deadline-exceeded` */
export function expectPace(bytes: number, ms: number): void {
  if (ms < BEGINNING_MS || bytes >= (SLOWEST * ms) / 1000) return;
  const detail = `The body comes with less than ${SLOWEST} bytes a second: send it again, over a faster connection.`;
  throw new ApiError('deadline-exceeded', detail);
}

/**
 * The pieces of a body.
 * @param ms how long the next piece may take, milliseconds
 * @param maxBytes of all of them, where whoever reads them does not count
 * @throws ApiError `deadline-exceeded`, `body-too-large`, `invalid-request` where the connection ends, `unsupported-content-encoding`
 */
export async function* readStream(
  { body, headers }: Pick<Request, 'body' | 'headers'>,
  ms: number,
  maxBytes = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array, void, undefined> {
  const coding = headers.get('content-encoding')?.trim().toLowerCase() ?? '';
  if (coding !== '' && coding !== 'identity') {
    const detail = 'This body is stored as it comes: send it without Content-Encoding.';
    throw new ApiError('unsupported-content-encoding', detail);
  }
  if (body === null) return;
  const reader = bodyReader(body);
  const startedAt = Date.now();
  let total = 0;
  try {
    for (;;) {
      const piece = await within(ms, reader.read(), 'the body');
      if (piece === null) return;
      total += piece.length;
      if (total > maxBytes) throw bodyTooLarge(maxBytes, total);
      expectPace(total, Date.now() - startedAt);
      yield piece;
    }
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    if (cause instanceof TooSlowError) {
      const detail = `Nothing more of the body came for ${ms} ms: send it again, over a faster connection.`;
      throw new ApiError('deadline-exceeded', detail, { cause });
    }
    const detail = 'The connection ended before the whole body had come: send it again.';
    throw new ApiError('invalid-request', detail, { cause });
  } finally {
    // Not waited for: what is stuck may not even end.
    reader.cancel().catch(() => {});
  }
}
