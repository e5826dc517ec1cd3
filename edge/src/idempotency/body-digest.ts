/** The digest of a body while it is read by somebody else: nothing of it is held for this. */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { ApiError } from '@blip2/shared/errors';
import { parseHeaderValue } from '../http/header-value.ts';
import { bodyTooLarge } from '../http/read-limited.ts';
import { TooSlowError, within } from '../within.ts';

/** SHA-256 of bytes in which a boundary of multipart does not count: clients draw another for each attempt. */
class Digest {
  readonly #hash = createHash('sha256');
  readonly #boundary: Buffer | null;
  /** What may be the beginning of a boundary. */
  #rest: Uint8Array = new Uint8Array();

  constructor(contentType: string | null) {
    const { value, parameters } = parseHeaderValue(contentType);
    const boundary = value === 'multipart/form-data' ? parameters.get('boundary') : undefined;
    this.#boundary = boundary ? Buffer.from(boundary, 'latin1') : null;
  }

  update(chunk: Uint8Array): void {
    if (this.#boundary === null) {
      this.#hash.update(chunk);
      return;
    }
    const bytes = Buffer.concat([this.#rest, chunk]);
    const { length } = this.#boundary;
    let from = 0;
    for (
      let at = bytes.indexOf(this.#boundary);
      at >= 0;
      at = bytes.indexOf(this.#boundary, from)
    ) {
      this.#hash.update(bytes.subarray(from, at)).update('\0');
      from = at + length;
    }
    const until = Math.max(from, bytes.length - length + 1);
    this.#hash.update(bytes.subarray(from, until));
    this.#rest = bytes.subarray(until);
  }

  end(): string {
    return this.#hash.update(this.#rest).digest('hex');
  }
}

/** A body on its way to whoever reads it. */
export type HashedBody = {
  /** The same bytes; null where there is no body. */
  body: ReadableStream<Uint8Array> | null;
  /** Hexadecimal digits, once all of it has been read; null where `give up` came first. */
  digest: Promise<string | null>;
  /** Called when nobody will read the rest. */
  giveUp: () => void;
};

/**
 * @example
 * const { body, digest } = hashedBody(request);
 * await new Response(body).arrayBuffer();
 * await digest; // '9f86d0…'
 */
export function hashedBody({ body, headers }: Pick<Request, 'body' | 'headers'>): HashedBody {
  const digest = new Digest(headers.get('content-type'));
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const giveUp = () => resolve(null);
  if (body === null) {
    resolve(digest.end());
    return { body: null, digest: promise, giveUp };
  }
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) {
          resolve(digest.end());
          controller.close();
        } else {
          digest.update(value);
          controller.enqueue(value);
        }
      },
      async cancel(reason) {
        giveUp();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return { body: stream, digest: promise, giveUp };
}

/**
 * The digest of a body that nobody else reads.
 * @param limits `maxBytes` of the body; `ms`: how long it may take, milliseconds
 * @throws ApiError `body-too-large`, `deadline-exceeded`
 */
export async function digestOf(
  { body, headers }: Pick<Request, 'body' | 'headers'>,
  { maxBytes, ms }: { maxBytes: number; ms: number },
): Promise<string> {
  const digest = new Digest(headers.get('content-type'));
  if (body === null) return digest.end();
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const reading = (async () => {
    let total = 0;
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      total += next.value.byteLength;
      if (total > maxBytes) throw bodyTooLarge(maxBytes, total);
      digest.update(next.value);
    }
  })();
  try {
    await within(ms, reading, 'the body');
    return digest.end();
  } catch (thrown) {
    reader.cancel(thrown).catch(() => {});
    if (thrown instanceof ApiError) throw thrown;
    throw thrown instanceof TooSlowError
      ? new ApiError('deadline-exceeded', `The body had not come whole after ${ms} ms.`)
      : new ApiError('invalid-request', 'The connection ended before the whole body had come.');
  }
}
