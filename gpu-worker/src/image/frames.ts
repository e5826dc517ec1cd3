/** What the decoder does not say of a file: frames, alpha and grids of AVIF. */
import type { ImageFormat } from '@blip2/shared/image-signatures';
import { boxesIn, childOf, chunksOfPng, type Range, viewOf } from './containers.ts';

/**
 * Frames by the tables of a file that has one; of AVIF, the items that a decoder counts may be parts of one image.
 * @returns 1 for a still image, undefined for a format without a table
 * @example framesOf(bytes, 'png') // 12, from the animation control chunk
 */
export function framesOf(bytes: Uint8Array, format: ImageFormat): number | undefined {
  if (format === 'png') return framesOfPng(viewOf(bytes)) ?? 1;
  return format === 'avif' ? (framesOfSequence(viewOf(bytes)) ?? 1) : undefined;
}

/** Images that the largest grid of an AVIF is made of; 0 without one. */
export function tilesOf(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  const references = referencesOf(view);
  if (references === undefined) return 0;
  // Of version 0, ids have two bytes: of the item itself, before the number of those it is made of.
  const idBytes = view.getUint8(references.from - 4) === 0 ? 2 : 4;
  let most = 0;
  for (const { type, from, to } of boxesIn(view, references)) {
    if (type !== 'dimg' || from + idBytes + 2 > to) continue;
    most = Math.max(most, view.getUint16(from + idBytes));
  }
  return most;
}

/** Whether the colors of an AVIF are multiplied by its alpha already: a reference of one item to another says so. */
export function isPremultiplied(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  const references = referencesOf(view);
  return references !== undefined && childOf(view, references, 'prem') !== undefined;
}

/** What items of an AVIF refer to which others. */
function referencesOf(view: DataView): Range | undefined {
  const meta = childOf(view, { from: 0, to: view.byteLength }, 'meta');
  // Both begin with version and flags.
  const references = meta && childOf(view, { ...meta, from: meta.from + 4 }, 'iref');
  return references && { ...references, from: references.from + 4 };
}

/** PNG: `acTL`, which names the number of frames, stands before `IDAT`. */
function framesOfPng(view: DataView): number | undefined {
  for (const { at, type } of chunksOfPng(view)) {
    if (type === 'IDAT') return undefined;
    if (type === 'acTL') return view.getUint32(at + 8);
  }
  return undefined;
}

/** ISO base media: the number of samples in the sample sizes of the first track. */
function framesOfSequence(view: DataView): number | undefined {
  let range: Range | undefined = { from: 0, to: view.byteLength };
  for (const type of ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsz']) {
    range = range && childOf(view, range, type);
  }
  // Version and flags, one size for all samples or 0, count.
  return range && range.from + 12 <= range.to ? view.getUint32(range.from + 8) : undefined;
}
