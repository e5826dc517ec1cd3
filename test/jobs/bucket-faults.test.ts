/** What a server of S3 does when it is not well (throttling, 5xx, lost replies), with a real one behind: a part loses nothing, and puts nothing twice. */
import { text } from 'node:stream/consumers';
import { objectStore } from '@blip2/gpu-worker/parts/object-store';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { presignedUrl } from '../../edge/src/jobs/presign.ts';
import { type Fault, FaultProxy } from '../../tools/prove-jobs/fault-proxy.ts';
import { startBucket, type TestBucket } from '../support/s3-bucket.ts';

/** Of the next requests. */
let faults: Fault[] = [];
let place: TestBucket;
let proxy: FaultProxy;
let objects: ReturnType<typeof objectStore>;
beforeAll(async () => {
  place = await startBucket();
  const { origin, pathname } = new URL(place.endpoint);
  proxy = await FaultProxy.start(origin, { faultOf: () => faults.shift() ?? null });
  const env = { ...place.env, AWS_ENDPOINT_URL_S3: `${proxy.url}${pathname}` };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  objects = objectStore(env);
});
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await place?.stop();
  vi.unstubAllEnvs();
});

const at = (name: string) => ({ bucket: place.bucket, key: place.prefix + name });

it.each<[string, Fault[]]>([
  ['throttles', ['throttled']],
  ['fails', ['failed', 'failed']],
  ['loses the reply', ['lost']],
])('an object is put, read, listed and deleted at a server that %s', async (name, staged) => {
  const object = at(`${name}/a`);
  faults = [...staged];
  // Whoever does not learn that it was first finds it there: with what it wanted to put.
  await objects.putOnce(object, Buffer.from('first'));
  expect(await objects.putOnce(object, Buffer.from('second'))).toBe(false);
  faults = [...staged];
  expect(await text(await objects.read(object))).toBe('first');
  faults = [...staged];
  expect(await objects.size(object)).toBe(5);
  faults = [...staged];
  expect(await objects.keys(at(`${name}/`))).toEqual([object.key]);
  faults = [...staged];
  await objects.delete(object);
  expect(await objects.size(object)).toBeNull();
});

it('a server that does nothing but throttle is an error, with which the part ends', async () => {
  faults = Array.from({ length: 20 }, () => 'throttled' as const);
  await expect(objects.putOnce(at('never'), Buffer.from(''))).rejects.toThrow(/reduce/);
  faults = [];
  expect(await objects.size(at('never'))).toBeNull();
});

it('a URL that the edge signs reads the one object that it names', async () => {
  await objects.putOnce(at('images/one'), Buffer.from('an image'));
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } = place.env;
  const config = {
    jobsImageBucketUrl: `${place.endpoint}/${place.bucket}`,
    jobsImageBucketKeyId: id,
    jobsImageBucketSecret: secret,
  };
  const url = await presignedUrl(config, at('images/one').key, Date.now() + 60_000);
  const reply = await fetch(url ?? '');
  expect([reply.status, await reply.text()]).toEqual([200, 'an image']);
  const other = await fetch((url ?? '').replace('images/one', 'images/two'));
  await other.body?.cancel();
  expect(other.status).toBe(403);
});
