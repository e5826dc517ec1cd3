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
  const found = await bucket.head(key).catch((thrown: unknown) => {
    options.onEnd?.();
    throw thrown;
  });
  if (found === null) {
    options.onEnd?.();
    return null;
  }
  return await sentStreamOf(piecesOf(bucket, key, bytes), bytes, options);
}

async function* piecesOf(
  bucket: R2Bucket,
  key: string,
  bytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let offset = 0; offset < bytes; ) {
    const length = Math.min(RANGE_BYTES, bytes - offset);
    const object = await bucket.get(key, { range: { offset, length } });
    if (object === null) throw new Error(`${key} was deleted while it was read`);
    yield new Uint8Array(await object.arrayBuffer());
    offset += length;
    await scheduler.wait(1);
  }
}
