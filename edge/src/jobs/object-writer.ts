/**
 * Writes into R2 what comes in chunks and is of unknown length, in memory of one part: an upload in parts where there is
 * more than one, whose parts but the last must have the same size.
 */
import type { HeldBody } from '../http/held-bodies.ts';
import { bodyTooLarge } from '../http/read-limited.ts';
import { valueFrom } from '../predictions/contract.ts';
import type { JobIndexObject, JobRoom } from './job-index-contract.ts';

/** R2 takes no smaller ones. */
export const PART_BYTES = 5 * 2 ** 20;

/**
 * The same chunks, each of which counts as memory that is held, up to one part.
 * @throws ApiError `too-many-requests`, `overloaded`
 */
export async function* heldChunks(
  source: AsyncIterable<Uint8Array>,
  held: Pick<HeldBody, 'begin' | 'add' | 'during'>,
): AsyncGenerator<Uint8Array, void, undefined> {
  held.begin();
  const chunks = source[Symbol.asyncIterator]();
  let total = 0;
  try {
    for (;;) {
      const next = await held.during(chunks.next());
      if (next.done) return;
      const chunk = next.value;
      const more = Math.max(Math.min(chunk.length, PART_BYTES - total), 0);
      held.add(chunk.length, more);
      total += more;
      yield chunk;
    }
  } finally {
    // Not waited for: where it gave way, the next chunk is still to come.
    chunks.return?.()?.catch(() => {});
  }
}

export type WrittenObject = { bytes: number };

/** Where uploads are noted: a Worker whose client is gone ends without a word, and its upload would stay for ever. */
export type Uploads = Pick<JobIndexObject, 'noteUpload' | 'endUpload'>;

/** @property beyond whether the oldest files make room */
type WriteLimits = { maxBytes: number; uploads: Uploads; beyond?: JobRoom['beyond'] };

/**
 * @param maxBytes of the whole; the object is not there when there are more, or when the source fails
 * @throws ApiError `body-too-large`, `storage-full`, and what the source throws
 * @example await writeObject(bucket, 'a/b.jsonl', request.body, { maxBytes: 2 ** 20, uploads: owner.index }) // { bytes: 4096 }
 */
export async function writeObject(
  bucket: R2Bucket,
  key: string,
  source: AsyncIterable<Uint8Array>,
  { maxBytes, uploads, beyond }: WriteLimits,
): Promise<WrittenObject> {
  let part = new Uint8Array(0);
  let [held, total] = [0, 0];
  let upload: R2MultipartUpload | undefined;
  const parts: R2UploadedPart[] = [];
  const flush = async () => {
    upload ??= await bucket.createMultipartUpload(key);
    const bytes = PART_BYTES * parts.length + held;
    valueFrom(await uploads.noteUpload({ key, id: upload.uploadId, bytes }, beyond));
    parts.push(await upload.uploadPart(parts.length + 1, part.subarray(0, held)));
    held = 0;
  };
  const end = async () => {
    if (upload !== undefined) await uploads.endUpload(upload.uploadId).catch(() => {});
  };
  try {
    for await (const chunk of source) {
      total += chunk.length;
      if (total > maxBytes) throw bodyTooLarge(maxBytes, total);
      for (let at = 0; at < chunk.length; ) {
        if (held === PART_BYTES) await flush();
        const piece = chunk.subarray(at, at + PART_BYTES - held);
        part = grown(part, held + piece.length);
        part.set(piece, held);
        held += piece.length;
        at += piece.length;
      }
    }
    if (upload === undefined) await bucket.put(key, part.subarray(0, held));
    else {
      await flush();
      await upload.complete(parts);
      await end();
    }
    return { bytes: total };
  } catch (thrown) {
    // What cannot be aborted now is aborted later.
    await upload?.abort().then(end, () => {});
    throw thrown;
  }
}

/** Memory is taken as bytes come: most files are small. */
function grown(bytes: Uint8Array<ArrayBuffer>, needed: number): Uint8Array<ArrayBuffer> {
  if (needed <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.min(Math.max(needed, 2 * bytes.length), PART_BYTES));
  larger.set(bytes);
  return larger;
}
