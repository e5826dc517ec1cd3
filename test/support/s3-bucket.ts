/** A place in a bucket of S3 for one test: of the local R2, or of the server that `S3_ENDPOINT` names. */
import { randomBytes } from 'node:crypto';
import { DeleteObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';

export type TestBucket = {
  endpoint: string;
  bucket: string;
  /** Keys of the test begin so; what is there at the end is deleted. */
  prefix: string;
  client: S3Client;
  /** AWS's usual variables, of programs that use it. */
  env: Record<string, string>;
  /** Keys that are there, without the prefix, in their order. */
  keys: () => Promise<string[]>;
  stop: () => Promise<void>;
};

type Server = Pick<TestBucket, 'endpoint' | 'bucket' | 'stop'> & {
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
};

/** @throws Error where `S3_ENDPOINT` is set without `S3_BUCKET` and AWS's usual variables */
export async function startBucket(environment = process.env): Promise<TestBucket> {
  const server = existing(environment) ?? (await local());
  const { endpoint, bucket, region, accessKeyId, secretAccessKey } = server;
  const prefix = `test-${randomBytes(6).toString('hex')}/`;
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  const keys = async () => {
    const listed = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix });
    const { Contents = [] } = await client.send(listed);
    return Contents.map(({ Key = '' }) => Key.slice(prefix.length));
  };
  return {
    ...{ endpoint, bucket, prefix, client, keys },
    env: {
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: region,
    },
    stop: async () => {
      for (const key of await keys()) {
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: prefix + key }));
      }
      client.destroy();
      await server.stop();
    },
  };
}

function existing(environment: NodeJS.ProcessEnv): Server | null {
  const { S3_ENDPOINT: endpoint, S3_BUCKET: bucket, AWS_REGION: region = 'auto' } = environment;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  if (!endpoint) return null;
  if (!bucket || !accessKeyId || !secretAccessKey) {
    throw new Error(
      'S3_ENDPOINT needs S3_BUCKET, a bucket that is there, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    );
  }
  return { endpoint, bucket, region, accessKeyId, secretAccessKey, stop: async () => {} };
}

async function local(): Promise<Server> {
  const key = { accessKeyId: 'local', secretAccessKey: 'local-secret' };
  const bucket = 'test';
  const server = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      telemetry: { enabled: false },
      modules: true,
      script: 'export default { fetch: () => new Response() };',
      r2Buckets: { BUCKET: { id: bucket, s3Credentials: key } },
    }),
  );
  const { origin } = await server.ready;
  const endpoint = `${origin}/cdn-cgi/local/r2/s3`;
  return { ...key, endpoint, bucket, region: 'auto', stop: () => server.dispose() };
}
