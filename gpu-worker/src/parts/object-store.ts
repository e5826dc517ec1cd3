/** Objects of S3, or of what speaks it (R2, MinIO): read, put once, listed, deleted. AWS's usual variables say where and by which rights. */
import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';

export type Place = { bucket: string; key: string };

export type ObjectStore = {
  read: (place: Place) => Promise<Readable>;
  /** Bytes of an object; null where there is none. */
  size: (place: Place) => Promise<number | null>;
  /** False where there is one of this name already, which stays. */
  putOnce: (place: Place, body: Uint8Array) => Promise<boolean>;
  /** Keys that begin so, in their order. */
  keys: (prefix: Place) => Promise<string[]>;
  delete: (place: Place) => Promise<void>;
};

/** Null for what is a path. @example placeOf('s3://images/a/b.jpg') // { bucket: 'images', key: 'a/b.jpg' } */
export function placeOf(address: string): Place | null {
  const [, bucket, key = ''] = /^s3:\/\/([^/]+)\/?(.*)/s.exec(address) ?? [];
  return bucket === undefined ? null : { bucket, key };
}

/** Loads the client of S3 when it is first needed. */
export function objectStore(env: NodeJS.ProcessEnv): ObjectStore {
  let loading: Promise<{ s3: typeof import('@aws-sdk/client-s3'); client: S3Client }> | undefined;
  const load = () => {
    loading ??= import('@aws-sdk/client-s3').then((s3) => ({ s3, client: clientOf(s3, env) }));
    return loading;
  };
  return {
    read: async ({ bucket: Bucket, key: Key }) => {
      const { s3, client } = await load();
      const { Body } = await client.send(new s3.GetObjectCommand({ Bucket, Key }));
      return Body as Readable;
    },
    size: async ({ bucket: Bucket, key: Key }) => {
      const { s3, client } = await load();
      try {
        const head = await client.send(new s3.HeadObjectCommand({ Bucket, Key }));
        return head.ContentLength ?? 0;
      } catch (error) {
        if (statusOf(error) === 404) return null;
        throw error;
      }
    },
    putOnce: async ({ bucket: Bucket, key: Key }, Body) => {
      const { s3, client } = await load();
      try {
        await client.send(new s3.PutObjectCommand({ Bucket, Key, Body, IfNoneMatch: '*' }));
        return true;
      } catch (error) {
        if (statusOf(error) === 412) return false;
        throw error;
      }
    },
    keys: async ({ bucket: Bucket, key: Prefix }) => {
      const { s3, client } = await load();
      const keys: string[] = [];
      for (let ContinuationToken: string | undefined; ; ) {
        const page = await client.send(
          new s3.ListObjectsV2Command({
            Bucket,
            Prefix,
            ...(ContinuationToken !== undefined && { ContinuationToken }),
          }),
        );
        keys.push(...(page.Contents ?? []).flatMap(({ Key }) => Key ?? []));
        ContinuationToken = page.NextContinuationToken;
        if (ContinuationToken === undefined) return keys.toSorted();
      }
    },
    delete: async ({ bucket: Bucket, key: Key }) => {
      const { s3, client } = await load();
      await client.send(new s3.DeleteObjectCommand({ Bucket, Key }));
    },
  };
}

function clientOf(s3: typeof import('@aws-sdk/client-s3'), env: NodeJS.ProcessEnv): S3Client {
  const isOther = (env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL) !== undefined;
  return new s3.S3Client({
    // Servers other than AWS's have no host for each bucket, and not all know its newer checksums.
    forcePathStyle: isOther,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}
