/** The tables of an AVIF (ISO/IEC 14496-12, 8.11, and 23008-12, 9.3), entry by entry: what each says is for others to judge. */
import { boxesIn, childOf, type Range, typeAt } from './containers.ts';

/** The box of all tables, behind its version and flags. */
export function metaOf(view: DataView): Range | undefined {
  const meta = childOf(view, { from: 0, to: view.byteLength }, 'meta');
  return meta && { ...meta, from: meta.from + 4 };
}

/** The number of the item that is the image; 0 where none is named. */
export function primaryIn(view: DataView, meta: Range): number {
  const box = childOf(view, meta, 'pitm');
  if (box === undefined || box.from + 6 > box.to) return 0;
  // It is as long as the version says.
  if (view.getUint8(box.from) === 0) return view.getUint16(box.from + 4);
  return box.from + 8 > box.to ? 0 : view.getUint32(box.from + 4);
}

/** Items by their kind. */
export function* kindsIn(
  view: DataView,
  meta: Range,
): Generator<{ id: number; kind: string; isHidden: boolean }, void, undefined> {
  const table = childOf(view, meta, 'iinf');
  if (table === undefined || table.from + 6 > table.to) return;
  const countBytes = view.getUint8(table.from) === 0 ? 2 : 4;
  for (const { from, to } of boxesIn(view, { ...table, from: table.from + 4 + countBytes })) {
    // Behind version and flags: number, protection, kind.
    if (from + 12 > to) continue;
    const isLong = view.getUint8(from) > 2;
    const kindAt = from + 4 + (isLong ? 6 : 4);
    if (kindAt + 4 > to) continue;
    const id = isLong ? view.getUint32(from + 4) : view.getUint16(from + 4);
    yield { id, kind: typeAt(view, kindAt), isHidden: (view.getUint8(from + 3) & 1) === 1 };
  }
}

/** Those with higher numbers no item can have: numbers have 15 bits. */
const MOST_PROPERTIES = 2 ** 15;

/** Properties in the order of their numbers, which begin with 1. */
export function propertiesIn(view: DataView, meta: Range): (Range & { type: string })[] {
  const all = childOf(view, meta, 'iprp');
  const table = all && childOf(view, all, 'ipco');
  const properties: (Range & { type: string })[] = [];
  if (table === undefined) return properties;
  for (const { type, from, to } of boxesIn(view, table)) {
    if (properties.push({ type, from, to }) === MOST_PROPERTIES) break;
  }
  return properties;
}

/** `index`: the number of a property that an item has; `isEssential`: whether who does not know it may not show the item. */
export type Association = { id: number; index: number; isEssential: boolean };

/** Of all tables, of which there may be several. */
export function* associationsIn(
  view: DataView,
  meta: Range,
): Generator<Association, void, undefined> {
  const all = childOf(view, meta, 'iprp');
  if (all === undefined) return;
  for (const box of boxesIn(view, all)) if (box.type === 'ipma') yield* associationsOf(view, box);
}

function* associationsOf(
  view: DataView,
  { from, to }: Range,
): Generator<Association, void, undefined> {
  if (from + 8 > to) return;
  const idBytes = view.getUint8(from) < 1 ? 2 : 4;
  const indexBytes = view.getUint8(from + 3) & 1 ? 2 : 1;
  const essential = indexBytes === 2 ? 0x8000 : 0x80;
  for (let at = from + 8; at + idBytes + 1 <= to; ) {
    const id = idBytes === 2 ? view.getUint16(at) : view.getUint32(at);
    const count = view.getUint8(at + idBytes);
    at += idBytes + 1;
    if (at + count * indexBytes > to) return;
    for (const end = at + count * indexBytes; at < end; at += indexBytes) {
      const value = indexBytes === 2 ? view.getUint16(at) : view.getUint8(at);
      yield { id, index: value & (essential - 1), isEssential: value >= essential };
    }
  }
}

/** Of which kind, of which item, and to which others. */
export type Reference = { type: string; of: number; to: number[] };

export function* referencesIn(view: DataView, meta: Range): Generator<Reference, void, undefined> {
  const table = childOf(view, meta, 'iref');
  if (table === undefined || table.from + 4 > table.to) return;
  const idBytes = view.getUint8(table.from) === 0 ? 2 : 4;
  const id = (at: number) => (idBytes === 2 ? view.getUint16(at) : view.getUint32(at));
  for (const { type, from, to } of boxesIn(view, { ...table, from: table.from + 4 })) {
    if (from + idBytes + 2 > to) continue;
    const first = from + idBytes + 2;
    const most = Math.floor((to - first) / idBytes);
    const length = Math.min(view.getUint16(from + idBytes), most);
    yield { type, of: id(from), to: Array.from({ length }, (_, i) => id(first + i * idBytes)) };
  }
}

/** What says how opaque an image is, by its name, which decoders of HEIF know as well. */
export function isAlpha(view: DataView, { type, from, to }: Range & { type: string }): boolean {
  if (type !== 'auxC') return false;
  const name = Buffer.from(view.buffer, view.byteOffset + from, Math.min(to - from, 80));
  return name.includes(':alpha') || name.includes(':auxid:1');
}
