/** Writes all results of a part one object of the bucket, once, in memory of a few of them. */
import type { PartTable } from './part-table.ts';

const LINES = 200;

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
  if ((await bucket.head(key)) !== null) return;
  const { readable, writable } = new FixedLengthStream(bytes);
  const writing = write(writable, table);
  // Whoever has lost against another leaves its stream unread.
  writing.catch(() => {});
  const closed = await bucket.put(key, readable, {
    onlyIf: { etagDoesNotMatch: '*' },
    httpMetadata: { contentType: 'application/x-ndjson' },
  });
  if (closed === null && (await bucket.head(key)) === null) {
    throw new Error('the results were neither put nor there');
  }
}

async function write(
  writable: WritableStream<Uint8Array>,
  table: Pick<PartTable, 'results'>,
): Promise<void> {
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  for (let from = 0; ; ) {
    const rows = table.results(from, LINES);
    const last = rows.at(-1);
    if (last === undefined) break;
    await writer.write(encoder.encode(rows.map(({ line }) => `${line}\n`).join('')));
    from = last.item + 1;
  }
  await writer.close();
}
