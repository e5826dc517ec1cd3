/** The items of an AVIF by the tables of its file: of which others one is made, and how large each is. */
import { metaOf, UNKNOWN } from './avif-places.ts';
import { boxesIn, childOf, type Range, typeAt, viewOf } from './containers.ts';

/** `parts`: the items that an image is made of, as often as each is used; `alphas`: those that say how opaque it is. */
export type Item = {
  /** Pixels, before it is turned or cut out. */
  area: number;
  /** How often it is turned, mirrored or cut out. */
  transforms: number;
  /** Whether it has no pixels of its own. */
  isDerived: boolean;
  /** What the decoder gets before its bytes. */
  config: Range | undefined;
  parts: number[];
  alphas: number[];
};

/** More than decoders read of a file. */
const MOST_ITEMS = 70_000;
/** Properties of all items together, each as often as it is an item's: real items have a handful. Decoders read millions of them, if only they are spread over boxes. */
const MOST_ASSOCIATIONS = 2 ** 18;
/** Those with higher numbers no item can have: numbers have 15 bits. */
const MOST_PROPERTIES = 2 ** 15;
const DERIVED = new Set(['grid', 'iovl', 'iden']);

/**
 * Items that have properties, and their references (ISO/IEC 23008-12, 9.3, and ISO/IEC 14496-12, 8.11.12).
 * @returns undefined where there are too many
 * @example itemsOf(bytes)?.items.get(1) // { area: 4096, transforms: 0, isDerived: true, config: undefined, parts: [2, 2], alphas: [] }
 */
export function itemsOf(
  bytes: Uint8Array,
): { primary: number; items: Map<number, Item> } | undefined {
  const view = viewOf(bytes);
  const meta = metaOf(view);
  const items = new Map<number, Item>();
  if (meta === undefined) return { primary: 0, items };
  const alphas = new Set<number>();
  let associations = 0;
  for (const [id, property] of propertiesIn(view, meta)) {
    if (++associations > MOST_ASSOCIATIONS) return undefined;
    if (property === undefined) continue;
    const item = items.get(id) ?? emptyItem();
    items.set(id, item);
    if (items.size > MOST_ITEMS) return undefined;
    const { kind, area, content } = property;
    if (kind === 'size') item.area = Math.max(item.area, area);
    else if (kind === 'transform') item.transforms++;
    else if (kind === 'config') item.config = item.config ? UNKNOWN : content;
    else alphas.add(id);
  }
  const coded = new Set<number>();
  for (const { id, isDerived } of kindsIn(view, meta)) {
    const item = items.get(id);
    if (!isDerived) coded.add(id);
    if (item !== undefined) item.isDerived = !coded.has(id);
  }
  for (const { type, of, to } of referencesIn(view, meta)) {
    if (type === 'dimg') items.get(of)?.parts.push(...to);
    // What else is beside an image, such as its depth, is not decoded.
    if (type === 'auxl' && alphas.has(of)) for (const id of to) items.get(id)?.alphas.push(of);
  }
  const primary = childOf(view, meta, 'pitm');
  return { primary: primary ? primaryAt(view, primary) : 0, items };
}

const emptyItem = (): Item => ({
  area: 0,
  transforms: 0,
  isDerived: false,
  config: undefined,
  parts: [],
  alphas: [],
});

/** Its number is as long as the version says. */
function primaryAt(view: DataView, { from, to }: Range): number {
  if (from + 6 > to) return 0;
  if (view.getUint8(from) === 0) return view.getUint16(from + 4);
  return from + 8 > to ? 0 : view.getUint32(from + 4);
}

/** Whether items are made of others, by their kind. */
function* kindsIn(
  view: DataView,
  meta: Range,
): Generator<{ id: number; isDerived: boolean }, void, undefined> {
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
    yield { id, isDerived: DERIVED.has(typeAt(view, kindAt)) };
  }
}

type Property = { kind: 'size' | 'transform' | 'alpha' | 'config'; area: number; content: Range };

/** What an `av1C` has before parts of a bitstream. */
const CONFIG_BYTES = 4;

const TRANSFORMS = new Set(['irot', 'imir', 'clap']);

/** Items, each with a property of its own; undefined those that say nothing of what decoding takes. */
function* propertiesIn(
  view: DataView,
  meta: Range,
): Generator<[number, Property | undefined], void, undefined> {
  const all = childOf(view, meta, 'iprp');
  const table = all && childOf(view, all, 'ipco');
  if (all === undefined || table === undefined) return;
  // Once for each, as a million items may share one.
  const properties: (Property | undefined)[] = [];
  for (const box of boxesIn(view, table)) {
    if (properties.push(propertyOf(view, box)) === MOST_PROPERTIES) break;
  }
  for (const box of boxesIn(view, all)) {
    if (box.type !== 'ipma') continue;
    for (const [id, index] of associationsIn(view, box)) yield [id, properties[index - 1]];
  }
}

function propertyOf(view: DataView, box: Range & { type: string }): Property | undefined {
  const { type, from, to } = box;
  const content = { from: Math.min(from + CONFIG_BYTES, to), to };
  const property = (kind: Property['kind'], area = 0) => ({ kind, area, content });
  if (TRANSFORMS.has(type)) return property('transform');
  if (type === 'av1C') return property('config');
  if (type === 'ispe' && from + 12 <= to) {
    return property('size', view.getUint32(from + 4) * view.getUint32(from + 8));
  }
  return type === 'auxC' && isAlpha(view, box) ? property('alpha') : undefined;
}

/** By its name, which decoders of HEIF know as well. */
function isAlpha(view: DataView, { from, to }: Range): boolean {
  const name = Buffer.from(view.buffer, view.byteOffset + from, Math.min(to - from, 80));
  return name.includes(':alpha') || name.includes(':auxid:1');
}

/** Items, each with the number of a property of its own. */
function* associationsIn(
  view: DataView,
  { from, to }: Range,
): Generator<[number, number], void, undefined> {
  if (from + 8 > to) return;
  const idBytes = view.getUint8(from) < 1 ? 2 : 4;
  const indexBytes = view.getUint8(from + 3) & 1 ? 2 : 1;
  for (let at = from + 8; at + idBytes + 1 <= to; ) {
    const id = idBytes === 2 ? view.getUint16(at) : view.getUint32(at);
    const count = view.getUint8(at + idBytes);
    at += idBytes + 1;
    if (at + count * indexBytes > to) return;
    for (const end = at + count * indexBytes; at < end; at += indexBytes) {
      yield [id, indexBytes === 2 ? view.getUint16(at) & 0x7fff : view.getUint8(at) & 0x7f];
    }
  }
}

/** Which item refers to which others. */
function* referencesIn(
  view: DataView,
  meta: Range,
): Generator<{ type: string; of: number; to: number[] }, void, undefined> {
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
