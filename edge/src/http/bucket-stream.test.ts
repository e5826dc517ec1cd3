/** How the bytes of an object are sent. */
import { expect, it } from 'vitest';
import { bucketStream } from './bucket-stream.ts';

it('a bucket that fails ends what the reply holds', async () => {
  const get = async () => {
    throw new Error('the bucket is away');
  };
  let ends = 0;
  const stream = bucketStream({ get } as unknown as R2Bucket, 'a', {
    bytes: 1,
    onEnd: () => void ends++,
  });
  await expect(stream).rejects.toThrow('the bucket is away');
  expect(ends).toBe(1);
});

it('each piece that is sent renews what the reply holds', async () => {
  const get = async () => ({ arrayBuffer: async () => new ArrayBuffer(1) });
  let pieces = 0;
  const bucket = { get } as unknown as R2Bucket;
  const stream = await bucketStream(bucket, 'a', { bytes: 1, onPiece: () => void pieces++ });
  await new Response(stream).arrayBuffer();
  expect(pieces).toBeGreaterThan(0);
});

it('one that has just been deleted is gone, and no failure', async () => {
  let ends = 0;
  // It was there a moment ago.
  const bucket = { head: async () => ({}), get: async () => null } as unknown as R2Bucket;
  const reading = { bytes: 1, onEnd: () => void ends++ };
  expect([await bucketStream(bucket, 'a', reading), ends]).toEqual([null, 1]);
});
