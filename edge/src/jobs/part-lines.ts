/** The lines of a part, as they were written when its job was read. */
import { type BucketLine, linesFrom } from './bucket-lines.ts';
import { type PartOrder, partKey } from './contract.ts';
import { MAX_STORED_LINE_BYTES } from './read-line.ts';

/** Read at a time. */
const RANGE_BYTES = 2 ** 16;

/** From one on; each was found to be within its bounds. */
export function partLines(
  bucket: R2Bucket,
  order: PartOrder,
  { offset }: { offset: number },
): AsyncGenerator<BucketLine, void, undefined> {
  const reading = { offset, maxBytes: MAX_STORED_LINE_BYTES, rangeBytes: RANGE_BYTES };
  return linesFrom(bucket, partKey(order, 'in'), reading);
}
