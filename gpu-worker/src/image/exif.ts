/** EXIF reduced to the one thing that decides pixels, the orientation: what else is in it, decoders would parse in a time that grows with its square. */
import { viewOf } from './containers.ts';

/** Before the TIFF of EXIF, where a format or a program puts it. */
const EXIF_PREFIX = 'Exif\0\0';

const ORIENTATION = 0x0112;
const [HEADER_BYTES, ENTRY_BYTES] = [8, 12];
/** Bytes of a value by its type (TIFF 6.0, section 2): those of no type are no values. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

/**
 * The same with no entry but the orientation, as it stands in the first directory. Directories that entries point to are not looked at.
 * @returns undefined for EXIF without an orientation, or damaged before it
 * @example orientationOf(exif) // 'II*\0', the directory's place, one entry: 26 bytes
 */
export function orientationOf(exif: Uint8Array): Uint8Array | undefined {
  const tiffAt = startsWith(exif, EXIF_PREFIX) ? EXIF_PREFIX.length : 0;
  const tiff = exif.subarray(tiffAt);
  const isLittle = startsWith(tiff, 'II*\0');
  if (tiff.length < HEADER_BYTES || !(isLittle || startsWith(tiff, 'MM\0*'))) return undefined;
  const view = viewOf(tiff);
  const first = view.getUint32(4, isLittle) + 2;
  if (first > tiff.length) return undefined;
  const written = view.getUint16(first - 2, isLittle);
  // A directory may be cut off.
  const count = Math.min(written, Math.floor((tiff.length - first) / ENTRY_BYTES));
  for (let at = first; at < first + count * ENTRY_BYTES; at += ENTRY_BYTES) {
    if (view.getUint16(at, isLittle) !== ORIENTATION) continue;
    const valueBytes =
      (TYPE_BYTES[view.getUint16(at + 2, isLittle)] ?? 0) * view.getUint32(at + 4, isLittle);
    // Further bytes would stand elsewhere, which no orientation needs.
    if (valueBytes === 0 || valueBytes > 4) continue;
    const entry = tiff.subarray(at, at + ENTRY_BYTES);
    return Buffer.concat([exif.subarray(0, tiffAt + 4), directoryOf(entry, isLittle)]);
  }
  return undefined;
}

/** Its place, the number of entries, the entry, and no further directory. */
function directoryOf(entry: Uint8Array, isLittle: boolean): Uint8Array {
  const bytes = new Uint8Array(4 + 2 + ENTRY_BYTES + 4);
  viewOf(bytes).setUint32(0, HEADER_BYTES, isLittle);
  viewOf(bytes).setUint16(4, 1, isLittle);
  bytes.set(entry, 6);
  return bytes;
}

/** @param text of single bytes */
export function startsWith(bytes: Uint8Array, text: string): boolean {
  for (let at = 0; at < text.length; at++) if (bytes[at] !== text.charCodeAt(at)) return false;
  return true;
}
