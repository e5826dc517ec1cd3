/** Where in its file the items of an AVIF are. What is there beside them, such as an image sequence, is not decoded. */
import { metaOf } from './avif-tables.ts';
import { childOf, type Range, viewOf } from './containers.ts';

/** What of an item is in the file. `bytes`: by the table, which may name more than there are; `isWhole`: whether all of them are there. */
export type Place = { ranges: Range[]; bytes: number; isWhole: boolean };

/**
 * By the table of their places (`iloc`, ISO/IEC 14496-12, 8.11.3).
 * @returns `codedBytes`: of all items, and those to which several items refer for each, as each is decoded; those of the whole file where there
 *   is no such table, or it is cut off
 * @example placesOf(bytes).places.get(1) // { ranges: [{ from: 402, to: 1_240_402 }], bytes: 1_240_000, isWhole: true }
 */
export function placesOf(bytes: Uint8Array): { places: Map<number, Place>; codedBytes: number } {
  const view = viewOf(bytes);
  const meta = metaOf(view);
  const table = meta && childOf(view, meta, 'iloc');
  const places = new Map<number, Place>();
  if (meta === undefined || table === undefined) return { places, codedBytes: bytes.byteLength };
  const data = childOf(view, meta, 'idat');
  let codedBytes = 0;
  for (const item of placesIn(view, table, data?.from ?? 0)) {
    if (item === undefined) return { places, codedBytes: bytes.byteLength };
    codedBytes += item.bytes;
    // Which of two places is meant is not known.
    if (places.has(item.id)) Object.assign(item, { ranges: [UNKNOWN], isWhole: false });
    places.set(item.id, item);
  }
  return { places, codedBytes };
}

/** Bytes that cannot be looked at. */
export const UNKNOWN: Range = { from: 0, to: Number.MAX_SAFE_INTEGER };

/** Bytes of a number in the table, which is 0 where it has none. */
const SIZES = new Set([0, 4, 8]);
/** How an item may be stored, in the last four bits: in the file (0), in `meta` itself, or in another item, as images never are. */
const [IN_META, IN_ITEM] = [1, 2];

function* placesIn(
  view: DataView,
  { from, to }: Range,
  dataAt: number,
): Generator<(Place & { id: number }) | undefined, void, undefined> {
  if (from + 8 > to) return yield undefined;
  const version = view.getUint8(from);
  const [idBytes, hasMethod] = [version < 2 ? 2 : 4, version > 0];
  const [sizes, more] = [view.getUint8(from + 4), view.getUint8(from + 5)];
  const [offsetBytes, lengthBytes, baseBytes] = [sizes >> 4, sizes & 15, more >> 4];
  const indexBytes = hasMethod ? more & 15 : 0;
  if (!SIZES.has(lengthBytes)) return yield undefined;
  const number = (at: number, length: number) => {
    if (length === 8) return Number(view.getBigUint64(at));
    return length === 4 ? view.getUint32(at) : 0;
  };
  // The number of items is not asked: those of which there are too few end with the table.
  for (let at = from + 6 + idBytes; at < to; ) {
    // Its id, how it is stored, and from where places count; then how many ranges of bytes it has.
    const idAt = at;
    at += idBytes + (hasMethod ? 2 : 0) + 2 + baseBytes;
    if (at + 2 > to) return yield undefined;
    const id = idBytes === 2 ? view.getUint16(idAt) : view.getUint32(idAt);
    const method = hasMethod ? view.getUint16(idAt + idBytes) & 15 : 0;
    const base = number(at - baseBytes, baseBytes) + (method === IN_META ? dataAt : 0);
    const count = view.getUint16(at);
    const rangeBytes = indexBytes + offsetBytes + lengthBytes;
    const end = at + 2 + count * rangeBytes;
    if (end > to) return yield undefined;
    const place: Place & { id: number } = { id, ranges: [], bytes: 0, isWhole: true };
    // Ranges that need no bytes in the table are the same, however many.
    if (rangeBytes === 0) place.bytes = count * view.byteLength;
    for (let i = 0; i < count && rangeBytes > 0; i++) {
      const range = at + 2 + i * rangeBytes + indexBytes;
      const first = base + number(range, offsetBytes);
      const start = Math.min(first, view.byteLength);
      const given = number(range + offsetBytes, lengthBytes);
      // Without a length it is all that follows.
      const length = given || view.byteLength;
      if (first + given > view.byteLength) place.isWhole = false;
      place.ranges.push({ from: start, to: Math.min(start + length, view.byteLength) });
      place.bytes += length;
    }
    if (method >= IN_ITEM) Object.assign(place, { ranges: [UNKNOWN], isWhole: false });
    yield place;
    at = end;
  }
}
