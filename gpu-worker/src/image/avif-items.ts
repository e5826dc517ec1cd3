/** How many bytes the items of an AVIF have: what is in its file beside them, such as an image sequence, is not decoded. */
import { childOf, type Range, viewOf } from './containers.ts';

/**
 * Bytes of all items by the table of their places (`iloc`, ISO/IEC 14496-12, 8.11.3). Those to which several items refer count for each, as
 * each is decoded.
 * @returns those of the whole file where there is no such table, or it is cut off
 * @example codedBytesOfAvif(bytes) // 1_240_000
 */
export function codedBytesOfAvif(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  const meta = childOf(view, { from: 0, to: view.byteLength }, 'meta');
  // Behind version and flags.
  const table = meta && childOf(view, { ...meta, from: meta.from + 4 }, 'iloc');
  return (table && bytesOfItems(view, table)) ?? bytes.byteLength;
}

/** Bytes of a number in the table, which is 0 where it has none. */
const SIZES = new Set([0, 4, 8]);

function bytesOfItems(view: DataView, { from, to }: Range): number | undefined {
  if (from + 8 > to) return undefined;
  const version = view.getUint8(from);
  const [idBytes, hasMethod] = [version < 2 ? 2 : 4, version > 0];
  const [sizes, more] = [view.getUint8(from + 4), view.getUint8(from + 5)];
  const lengthBytes = sizes & 15;
  const before = (hasMethod ? more & 15 : 0) + (sizes >> 4);
  if (!SIZES.has(lengthBytes)) return undefined;
  let sum = 0;
  // The number of items is not asked: those of which there are too few end with the table.
  for (let at = from + 6 + idBytes; at < to; ) {
    // Its id, how it is stored, and from where places count; then how many ranges of bytes it has.
    at += idBytes + (hasMethod ? 2 : 0) + 2 + (more >> 4);
    if (at + 2 > to) return undefined;
    const ranges = view.getUint16(at);
    const end = at + 2 + ranges * (before + lengthBytes);
    if (end > to) return undefined;
    // Without a length it is all that follows.
    if (lengthBytes === 0) sum += ranges * view.byteLength;
    else {
      for (let range = at + 2 + before; range < end; range += before + lengthBytes) {
        const length = lengthBytes === 4 ? view.getUint32(range) : Number(view.getBigUint64(range));
        sum += length === 0 ? view.byteLength : length;
      }
    }
    at = end;
  }
  return sum;
}
