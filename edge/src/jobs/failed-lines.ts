/** The lines of a job's items that have no result, as the input of another job: images that were in them are in them again. */
import { ApiError } from '@blip2/shared/errors';
import { linesFrom } from './bucket-lines.ts';
import { type BatchLine, imageKey, type JobSnapshot, partKey } from './contract.ts';
import { storedImageIn } from './item-source.ts';
import { MAX_LINE_BYTES } from './read-line.ts';
import { type ResultStores, readResults } from './read-results.ts';

/** Images that are read again: each is a request to the bucket, of which a Worker may send so many. */
const MAX_IMAGES = 1000;
/** Of a line as it is stored, which is shorter than what was sent. */
const MAX_BYTES = 2 * MAX_LINE_BYTES;
/** Bytes that are read at a time. */
const RANGE_BYTES = 2 ** 20;

/**
 * @param job one that has ended
 * @throws ApiError `job-not-ready` where more images were sent with its items than can be read again
 */
export async function* failedLines(
  stores: ResultStores,
  job: JobSnapshot,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { bucket } = stores;
  const images = new StoredImages(bucket, job);
  const encoder = new TextEncoder();
  let lines: AsyncGenerator<{ text: string | null }> | undefined;
  let [part, at] = [-1, 0];
  const query = { from: null, which: 'failed', overGaps: true } as const;
  try {
    for await (const failed of readResults(stores, job, query)) {
      if (failed.part !== part) {
        await lines?.return(undefined);
        ({ part } = failed);
        at = 0;
        const key = partKey({ owner: job.order.owner, job: job.id, part }, 'in');
        lines = linesFrom(bucket, key, { offset: 0, maxBytes: MAX_BYTES, rangeBytes: RANGE_BYTES });
      }
      let text: string | null = null;
      // Both are in the order of the items: one is read up to where the other is.
      for (; at <= failed.item; at++) text = (await lines?.next())?.value?.text ?? null;
      if (text === null) continue;
      const line = JSON.parse(text) as BatchLine;
      const body = await images.putBack(line.body);
      yield encoder.encode(`${JSON.stringify({ ...line, body })}\n`);
    }
  } finally {
    await lines?.return(undefined);
  }
}

class StoredImages {
  readonly #bucket: R2Bucket;
  readonly #job: JobSnapshot;
  #count = 0;

  constructor(bucket: R2Bucket, job: JobSnapshot) {
    this.#bucket = bucket;
    this.#job = job;
  }

  /** The same value with `data:` URLs in place of images that were moved into the bucket. */
  async putBack<Value>(value: Value): Promise<Value> {
    if (typeof value === 'string') {
      const sha256 = storedImageIn(value);
      return sha256 === null ? value : ((await this.#dataUrl(sha256)) as Value);
    }
    if (Array.isArray(value)) {
      const entries: unknown[] = [];
      for (const entry of value) entries.push(await this.putBack(entry));
      return entries as Value;
    }
    if (typeof value !== 'object' || value === null) return value;
    const members: [string, unknown][] = [];
    for (const [name, member] of Object.entries(value)) {
      members.push([name, await this.putBack(member)]);
    }
    return Object.fromEntries(members) as Value;
  }

  async #dataUrl(sha256: string): Promise<string> {
    if (++this.#count > MAX_IMAGES) {
      const detail = `More than ${MAX_IMAGES} items without a result were sent with their images: send those again that \`results?status=failed\` names.`;
      throw new ApiError('job-not-ready', detail, { limit: MAX_IMAGES });
    }
    const { owner } = this.#job.order;
    const stored = await this.#bucket.get(imageKey(owner, this.#job.id, sha256));
    const bytes = stored === null ? new Uint8Array() : new Uint8Array(await stored.arrayBuffer());
    return `data:application/octet-stream;base64,${bytes.toBase64()}`;
  }
}
