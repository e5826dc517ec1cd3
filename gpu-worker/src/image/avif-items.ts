/** The items of an AVIF by the tables of its file: of which others one is made, and how large each is. */
import { UNKNOWN } from './avif-places.ts';
import {
  associationsIn,
  isAlpha,
  kindsIn,
  metaOf,
  primaryIn,
  propertiesIn,
  referencesIn,
} from './avif-tables.ts';
import { type Range, viewOf } from './containers.ts';

/** `parts`: the items that an image is made of, as often as each is used; `alphas`: those that say how opaque it is. */
export type Item = {
  /** Pixels, before it is turned or cut out. */
  area: number;
  /** Those that a frame of it may have. */
  frameArea: number;
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
export const MOST_ASSOCIATIONS = 2 ** 18;
const DERIVED = new Set(['grid', 'iovl', 'iden']);

/**
 * Items that have properties, and their references (ISO/IEC 23008-12, 9.3, and ISO/IEC 14496-12, 8.11.12).
 * @returns undefined where there are too many
 * @example itemsOf(bytes)?.items.get(1) // { area: 4096, frameArea: 65536, transforms: 0, isDerived: true, config: undefined, parts: [2, 2], alphas: [] }
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
  // Once for each, as a million items may share one.
  const properties = propertiesIn(view, meta).map((box) => propertyOf(view, box));
  for (const { id, index } of associationsIn(view, meta)) {
    if (++associations > MOST_ASSOCIATIONS) return undefined;
    const property = properties[index - 1];
    if (property === undefined) continue;
    const item = items.get(id) ?? emptyItem();
    items.set(id, item);
    if (items.size > MOST_ITEMS) return undefined;
    const { kind, size, content } = property;
    if (size !== undefined) {
      item.area = Math.max(item.area, size.area);
      item.frameArea = Math.max(item.frameArea, size.frameArea);
    } else if (kind === 'transform') item.transforms++;
    else if (kind === 'config') item.config = item.config ? UNKNOWN : content;
    else alphas.add(id);
  }
  const coded = new Set<number>();
  for (const { id, kind } of kindsIn(view, meta)) {
    const item = items.get(id);
    if (!DERIVED.has(kind)) coded.add(id);
    if (item !== undefined) item.isDerived = !coded.has(id);
  }
  for (const { type, of, to } of referencesIn(view, meta)) {
    if (type === 'dimg') items.get(of)?.parts.push(...to);
    // What else is beside an image, such as its depth, is not decoded.
    if (type === 'auxl' && alphas.has(of)) for (const id of to) items.get(id)?.alphas.push(of);
  }
  return { primary: primaryIn(view, meta), items };
}

const emptyItem = (): Item => ({
  area: 0,
  frameArea: 0,
  transforms: 0,
  isDerived: false,
  config: undefined,
  parts: [],
  alphas: [],
});

type Property = { kind: 'size' | 'transform' | 'alpha' | 'config'; size?: Size; content: Range };
type Size = { area: number; frameArea: number };

/** What an `av1C` has before parts of a bitstream. */
const CONFIG_BYTES = 4;
const TRANSFORMS = new Set(['irot', 'imir', 'clap']);
/** Frames before the last may be as large as this on each side, whatever size their item has: decoders refuse larger ones. */
const FRAME_SIDE = 256;

function propertyOf(view: DataView, box: Range & { type: string }): Property | undefined {
  const { type, from, to } = box;
  const content = { from: Math.min(from + CONFIG_BYTES, to), to };
  if (TRANSFORMS.has(type)) return { kind: 'transform', content };
  if (type === 'av1C') return { kind: 'config', content };
  if (type === 'ispe' && from + 12 <= to) {
    const [width, height] = [view.getUint32(from + 4), view.getUint32(from + 8)];
    const frameArea = Math.max(width, FRAME_SIDE) * Math.max(height, FRAME_SIDE);
    return { kind: 'size', size: { area: width * height, frameArea }, content };
  }
  return isAlpha(view, box) ? { kind: 'alpha', content } : undefined;
}
