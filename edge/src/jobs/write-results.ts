/** Writes all results of a part one object of the bucket, once, in memory of a few of them. */
import { pause } from '../turns/turns.ts';
import type { PartTable } from './part-table.ts';

/** Written at a time: between two, everybody else's requests come. */
const STEP = { lines: 200, bytes: 2 ** 18 };
/** Results that are put as they are: a look for the object and a stream cost more than they save. */
const SMALL_BYTES = 2 ** 16;

/**
 * Where the object is there already it is that of an earlier try, or of one under way: results do not change, and both are the
 * same.
 * @throws Error where the bucket fails
 */
export async function writeResults(
  bucket: R2Bucket,
  key: string,
  table: Pick<PartTable, 'results' | 'resultBytes'>,
): Promise<void> {
  const bytes = table.resultBytes();
  const options = {
    onlyIf: { etagDoesNotMatch: '*' },
    httpMetadata: { contentType: 'application/x-ndjson' },
  };
  if (bytes <= SMALL_BYTES) {
    const lines = (await Array.fromAsync(linesOf(table))).join('');
    if ((await bucket.put(key, lines, options)) === null) await expectThere(bucket, key);
    return;
  }
  if ((await bucket.head(key)) !== null) return;
  const { readable, writable } = new FixedLengthStream(bytes);
  const writing = write(writable, table);
  // Whoever has lost against another leaves its stream unread.
  writing.catch(() => {});
  if ((await bucket.put(key, readable, options)) === null) await expectThere(bucket, key);
}

async function expectThere(bucket: R2Bucket, key: string): Promise<void> {
  if ((await bucket.head(key)) !== null) return;
  throw new Error('the results were neither put nor there');
}

async function write(
  writable: WritableStream<Uint8Array>,
  table: Pick<PartTable, 'results'>,
): Promise<void> {
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  try {
    for await (const lines of linesOf(table)) await writer.write(encoder.encode(lines));
    await writer.close();
  } catch (error) {
    // Else whoever reads it would wait for the rest.
    await writer.abort(error);
    throw error;
  }
}

/** Some at a time. */
async function* linesOf(
  table: Pick<PartTable, 'results'>,
): AsyncGenerator<string, void, undefined> {
  for (let from = 0; ; ) {
    const { rows, isCut } = table.results(from, STEP);
    yield rows.map(({ line }) => `${line}\n`).join('');
    const last = rows.at(-1);
    if (!isCut || last === undefined) return;
    from = last.item + 1;
    await pause(1);
  }
}
