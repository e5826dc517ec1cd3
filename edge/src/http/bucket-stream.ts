/** The bytes of an object in the bucket, read as they are taken: a whole one that nobody reads would be in memory, and keep workerd from its sockets. */
import { type StreamOptions, sentStreamOf } from './stream.ts';

/** Read at a time. */
export const RANGE_BYTES = 2 ** 19;

/**
 * @param bytes of the object
 * @returns null where it is gone; a body of a known length, so that its reply has a Content-Length
 */
export async function bucketStream(
  bucket: R2Bucket,
  key: string,
  { bytes, ...options }: StreamOptions & { bytes: number },
): Promise<ReadableStream<Uint8Array> | null> {
  // Asked for by what is read of it: between a look at it and the first read it may be deleted.
  const first = await rangeOf(bucket, key, { offset: 0, bytes }).catch((thrown: unknown) => {
    options.onEnd?.();
    throw thrown;
  });
  if (first === null) {
    options.onEnd?.();
    return null;
  }
  return await sentStreamOf(piecesOf(bucket, key, { first, bytes }), bytes, options);
}

async function* piecesOf(
  bucket: R2Bucket,
  key: string,
  { first, bytes }: { first: Uint8Array; bytes: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  let piece: Uint8Array | null = first;
  for (let offset = 0; offset < bytes; ) {
    if (piece === null) throw new Error(`${key} was deleted while it was read`);
    yield piece;
    offset += Math.min(RANGE_BYTES, bytes - offset);
    await scheduler.wait(1);
    if (offset < bytes) piece = await rangeOf(bucket, key, { offset, bytes });
  }
}

/** @returns null where it is gone */
async function rangeOf(
  bucket: R2Bucket,
  key: string,
  { offset, bytes }: { offset: number; bytes: number },
): Promise<Uint8Array | null> {
  const length = Math.min(RANGE_BYTES, bytes - offset);
  const object = await bucket.get(key, { range: { offset, length } });
  return object && new Uint8Array(await object.arrayBuffer());
}
