/**
 * AVIF as the decoder takes it: a file of our own, of the items that make the still image. Two readers of one file agree only where there is
 * one way to read it: what is counted is what the decoder sees, whatever doubled boxes or false sizes the tables of the sender's file have.
 */
import { ApiError } from '@blip2/shared/errors';
import { MOST_ASSOCIATIONS } from './avif-items.ts';
import { type Place, placesOf } from './avif-places.ts';
import {
  type Association,
  associationsIn,
  isAlpha,
  kindsIn,
  metaOf,
  primaryIn,
  propertiesIn,
  type Reference,
  referencesIn,
} from './avif-tables.ts';
import { type AvifFile, avifFile, BRANDS, type WrittenItem } from './avif-writer.ts';
import { childOf, type Range, viewOf } from './containers.ts';

/** Numbers of items have 16 bits in the file that is written. */
const MOST_ITEMS = 2 ** 16 - 1;
/** And the items to which they are: a grid has 65,536 parts at most, and so has what says how opaque it is. */
const MOST_REFERENCES = 2 ** 17;

/**
 * Neither sequences, thumbnails, depth nor metadata are in it: nothing of EXIF decides pixels, as an AVIF turns by properties of its own.
 * @throws ApiError `invalid-image` for a sequence without a still image, where one of the items is not there as a whole, and where
 *   they are in the same bytes over and over;
 *   `image-too-large` for too many items, properties or references
 */
export function stillAvif(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const whole = { from: 0, to: view.byteLength };
  const meta = metaOf(view);
  if (meta === undefined && childOf(view, whole, 'moov') !== undefined) {
    const detail =
      'The AVIF has a sequence of images and no still one. Send its first frame: `ffmpeg -i FILE -frames:v 1 image.png`.';
    throw new ApiError('invalid-image', detail, { field: 'image' });
  }
  // Without tables there is nothing to show, which the decoder refuses.
  return meta === undefined ? BRANDS : avifFile(stillOf(bytes, view, meta));
}

function stillOf(bytes: Uint8Array, view: DataView, meta: Range): AvifFile {
  const properties = propertiesIn(view, meta);
  const ofItem = associationsByItem(view, meta);
  const alphas = new Set<number>();
  for (const [id, own] of ofItem) {
    const hasName = ({ index }: Association) => {
      const property = properties[index - 1];
      return property !== undefined && isAlpha(view, property);
    };
    if (own.some(hasName)) alphas.add(id);
  }
  const references = referencesOf(view, meta);
  const kinds = new Map<number, { kind: string; isHidden: boolean }>();
  for (const { id, ...kind } of kindsIn(view, meta)) kinds.set(id, kind);
  const needed = itemsFrom(primaryIn(view, meta), references, alphas);
  if (needed.size > MOST_ITEMS) throw tooMuch('items', MOST_ITEMS);
  const { places } = placesOf(bytes);
  const contentOf = contentsOf(bytes);
  const items = [...needed].map((id): WrittenItem => {
    const { kind = '\0\0\0\0', isHidden = false } = kinds.get(id) ?? {};
    return {
      id,
      kind,
      isHidden,
      associations: ofItem.get(id) ?? [],
      content: contentOf(places.get(id)),
    };
  });
  const isNeeded = ({ type, of }: Reference) =>
    needed.has(of) && (type !== 'auxl' || alphas.has(of)) && WRITTEN.has(type);
  return {
    items,
    references: references.filter(isNeeded),
    properties: properties.map(({ type, from, to }) => ({
      type,
      content: bytes.subarray(from, to),
    })),
  };
}

/** Of what an item is made, and how opaque it is, and whether its colors are multiplied by that. */
const WRITTEN = new Set(['dimg', 'auxl', 'prem']);

function associationsByItem(view: DataView, meta: Range): Map<number, Association[]> {
  const ofItem = new Map<number, Association[]>();
  let count = 0;
  for (const association of associationsIn(view, meta)) {
    if (++count > MOST_ASSOCIATIONS) throw tooMuch('properties', MOST_ASSOCIATIONS);
    const own = ofItem.get(association.id);
    if (own === undefined) ofItem.set(association.id, [association]);
    else own.push(association);
  }
  return ofItem;
}

function referencesOf(view: DataView, meta: Range): Reference[] {
  const references: Reference[] = [];
  let count = 0;
  for (const reference of referencesIn(view, meta)) {
    count += Math.max(1, reference.to.length);
    if (count > MOST_REFERENCES) throw tooMuch('references', MOST_REFERENCES);
    references.push(reference);
  }
  return references;
}

function cutOff(): ApiError {
  const detail = 'The image is damaged or cut off: its pixels cannot be decoded.';
  return new ApiError('invalid-image', detail, { field: 'image' });
}

function tooMuch(what: string, limit: number): ApiError {
  const detail = `The AVIF has more than ${limit} ${what}. Save it anew: \`magick FILE image.png\`.`;
  return new ApiError('image-too-large', detail, { field: 'image', limit });
}

/** The image, what it is made of and how opaque that is, and so on; the image first. */
function itemsFrom(
  primary: number,
  references: readonly Reference[],
  alphas: ReadonlySet<number>,
): Set<number> {
  const others = new Map<number, number[]>();
  const add = (id: number, other: number) => {
    const known = others.get(id);
    if (known === undefined) others.set(id, [other]);
    else known.push(other);
  };
  for (const { type, of, to } of references) {
    for (const id of to) {
      if (type === 'dimg') add(of, id);
      else if (type === 'auxl' && alphas.has(of)) add(id, of);
    }
  }
  const found = new Set([primary]);
  // What is added is walked over as well.
  for (const id of found) for (const other of others.get(id) ?? []) found.add(other);
  return found;
}

/** Items of the same bytes share them in the file that is written, too. Others share none, as no program writes them. */
function contentsOf(bytes: Uint8Array): (place: Place | undefined) => Uint8Array {
  const known = new Map<string, Uint8Array>();
  let left = 2 * bytes.byteLength;
  return (place) => {
    const { ranges, isWhole } = place ?? { ranges: [], isWhole: true };
    // Of an image that comes into sight step by step the rest may be missing, and the decoder would show the first step.
    if (!isWhole) throw cutOff();
    const key = ranges.map(({ from, to }) => `${from}-${to}`).join();
    const before = known.get(key);
    if (before !== undefined) return before;
    for (const { from, to } of ranges) left -= to - from;
    if (left < 0) {
      const detail =
        'The items of the AVIF are in the same bytes of the file over and over. Save it anew: `magick FILE image.png`.';
      throw new ApiError('invalid-image', detail, { field: 'image' });
    }
    const content = Buffer.concat(ranges.map(({ from, to }) => bytes.subarray(from, to)));
    known.set(key, content);
    return content;
  };
}
