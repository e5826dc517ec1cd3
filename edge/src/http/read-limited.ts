/** Reads a body of a request or a response, but never more than allowed. */
import { ApiError } from '@blip2/shared/errors';

/**
 * Bytes of a body, given up as soon as they are more than allowed: by the declared length before reading, and while
 * reading, because the declaration may be missing or wrong.
 * @param limit bytes
 * @throws ApiError `body-too-large`
 */
export async function readLimited(
  source: { body: ReadableStream<Uint8Array> | null; headers: Headers },
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const declared = Number(source.headers.get('content-length') ?? Number.NaN);
  if (declared > limit) throw bodyTooLarge(limit, declared);
  if (source.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let total = 0;
  // Leaving the loop by a throw cancels the stream.
  for await (const chunk of source.body) {
    total += chunk.byteLength;
    if (total > limit) throw bodyTooLarge(limit, total);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(total);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

/** @param limit bytes @param actual bytes, or those that were read when it was given up; absent while it is inflated */
export function bodyTooLarge(limit: number, actual?: number): ApiError {
  const detail = `At most ${limit} bytes are accepted${actual === undefined ? ', also after inflation' : ''}.`;
  return new ApiError('body-too-large', detail, {
    limit,
    ...(actual === undefined ? {} : { actual }),
  });
}
