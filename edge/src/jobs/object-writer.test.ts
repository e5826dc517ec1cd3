import { expect, test } from 'vitest';
import { bucket } from '../testing/jobs.ts';
import type { PartedUpload } from './job-upload-table.ts';
import { PART_BYTES, type Uploads, writeObject } from './object-writer.ts';

/** What the object of an owner knows. */
function log() {
  const noted = new Map<string, PartedUpload>();
  const uploads: Uploads = {
    noteUpload: async (upload) => {
      noted.set(upload.id, upload);
      return { value: null };
    },
    endUpload: async (id) => {
      noted.delete(id);
    },
  };
  return { noted, uploads };
}

async function* chunks(count: number, end: () => Promise<void> = async () => {}) {
  for (let i = 0; i < count; i++) yield new Uint8Array(PART_BYTES);
  await end();
}

test('an upload in parts is noted before its first part, and no longer when it is complete', async () => {
  const { noted, uploads } = log();
  const key = `${crypto.randomUUID()}/files/a`;
  const seen: number[] = [];
  const source = chunks(3, async () => {
    seen.push(...[...noted.values()].map(({ bytes }) => bytes));
  });
  const written = await writeObject(bucket, key, source, { maxBytes: 2 ** 30, uploads });
  expect(written.bytes).toBe(3 * PART_BYTES);
  // The last one is still in memory.
  expect(seen).toEqual([2 * PART_BYTES]);
  expect(noted.size).toBe(0);
  const small = async function* () {
    yield new Uint8Array(3);
  };
  await writeObject(bucket, key, small(), { maxBytes: 2 ** 30, uploads });
  expect((await bucket.head(key))?.size).toBe(3);
});

test('an upload whose Worker is stopped in its midst stays noted', async () => {
  const { noted, uploads } = log();
  const key = `${crypto.randomUUID()}/files/a`;
  const stopped = Promise.withResolvers<void>();
  const source = chunks(3, async () => {
    stopped.resolve();
    await new Promise(() => {});
  });
  void writeObject(bucket, key, source, { maxBytes: 2 ** 30, uploads });
  await stopped.promise;
  const [upload] = noted.values();
  expect(upload).toMatchObject({ key, bytes: 2 * PART_BYTES });
  await bucket.resumeMultipartUpload(key, upload?.id ?? '').abort();
});

test('an upload that fails, or for which there is no room, is aborted', async () => {
  const { noted, uploads } = log();
  const key = `${crypto.randomUUID()}/files/a`;
  const limits = { maxBytes: 2 * PART_BYTES, uploads };
  await expect(writeObject(bucket, key, chunks(3), limits)).rejects.toMatchObject({
    slug: 'body-too-large',
  });
  expect(noted.size).toBe(0);
});
