/** Signed URLs of the bucket. */
import { expect, test } from 'vitest';
import { presignedUrl } from './presign.ts';

const config = {
  jobsImageBucketUrl: 'https://account.r2.example.com/blip2-jobs',
  jobsImageBucketKeyId: 'key',
  jobsImageBucketSecret: 'secret',
};

test('a URL is signed for as long as its item may be run, but for no longer than S3 signs', async () => {
  const of = async (ms: number) =>
    new URL((await presignedUrl(config, 'owner/jobs/a/images/b', Date.now() + ms)) ?? '');
  const hour = await of(3_600_000);
  expect(hour.origin + hour.pathname).toBe(
    'https://account.r2.example.com/blip2-jobs/owner/jobs/a/images/b',
  );
  expect(hour.searchParams.get('X-Amz-Credential')).toMatch(/^key\/\d{8}\/auto\/s3\/aws4_request$/);
  expect(hour.searchParams.get('X-Amz-Signature')).toMatch(/^[0-9a-f]{64}$/);
  expect(hour.searchParams.get('X-Amz-Expires')).toBe('3600');
  expect((await of(1e12)).searchParams.get('X-Amz-Expires')).toBe('604800');
  expect((await of(-1)).searchParams.get('X-Amz-Expires')).toBe('60');
});

test.each(['jobsImageBucketUrl', 'jobsImageBucketKeyId', 'jobsImageBucketSecret'])(
  'without %s nothing is signed',
  async (name) => {
    expect(await presignedUrl({ ...config, [name]: undefined }, 'a', Date.now())).toBeNull();
  },
);
