/** Signed URLs by which GPU workers read images from the bucket, where credentials of its S3 endpoint are configured. */
import { AwsClient } from 'aws4fetch';
import type { Config } from '../config.ts';

/** S3 signs for no longer. */
const MAX_SECONDS = 7 * 86_400;
const MIN_SECONDS = 60;

/**
 * @param expiresAt after which nobody needs it, milliseconds since the epoch
 * @returns null where nothing is configured
 * @example await presignedUrl(config, 'a/b', expiresAt) // 'https://…/blip2-jobs/a/b?X-Amz-Expires=…'
 */
export async function presignedUrl(
  {
    jobsImageBucketUrl: bucket,
    jobsImageBucketKeyId: accessKeyId,
    jobsImageBucketSecret: secretAccessKey,
  }: Pick<Config, 'jobsImageBucketUrl' | 'jobsImageBucketKeyId' | 'jobsImageBucketSecret'>,
  key: string,
  expiresAt: number,
): Promise<string | null> {
  if (bucket === undefined || accessKeyId === undefined || secretAccessKey === undefined)
    return null;
  const client = new AwsClient({ accessKeyId, secretAccessKey, service: 's3', region: 'auto' });
  const seconds = Math.ceil((expiresAt - Date.now()) / 1000);
  const url = new URL(`${bucket.replace(/\/$/, '')}/${key}`);
  url.searchParams.set(
    'X-Amz-Expires',
    String(Math.min(Math.max(seconds, MIN_SECONDS), MAX_SECONDS)),
  );
  const { url: signed } = await client.sign(url.href, { aws: { signQuery: true } });
  return signed;
}
