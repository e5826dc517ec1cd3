/** A color profile as the decoder takes it: tables of colors, and no program. */
import { typeAt, viewOf } from './containers.ts';

const HEADER_BYTES = 128;
const ENTRY_BYTES = 12;
/** As many as lcms takes. */
const MOST_TAGS = 100;
/** Of printers, scanners, screens and color spaces. Those that link devices, or name colors, belong to no image. */
const CLASSES = ['prtr', 'scnr', 'mntr', 'spac'];
/** Programs of any length, which the decoder prefers to tables and runs for each color. */
const PROGRAM = /^(?:D2B|B2D)\d$/;
const TABLE = /^(?:A2B|B2A)\d$/;
/** Tables, and matrices and curves around one. */
const TABLE_TYPES = ['mft1', 'mft2', 'mAB ', 'mBA '];

/**
 * Colors of a profile with both tables and programs are those of its tables.
 * @returns undefined for one that is not an image's, or whose tables are something else: colors are then as without a profile
 */
export function withoutPrograms(profile: Uint8Array): Uint8Array | undefined {
  const view = viewOf(profile);
  if (view.byteLength < HEADER_BYTES + 4 || !CLASSES.includes(typeAt(view, 12))) return undefined;
  const count = view.getUint32(HEADER_BYTES);
  const tagsAt = HEADER_BYTES + 4;
  if (count > MOST_TAGS || tagsAt + count * ENTRY_BYTES > view.byteLength) return undefined;
  const cleared = profile.slice();
  for (let at = tagsAt; at < tagsAt + count * ENTRY_BYTES; at += ENTRY_BYTES) {
    const name = typeAt(view, at);
    // A name that nobody reads.
    if (PROGRAM.test(name)) cleared[at] = 'x'.charCodeAt(0);
    if (!TABLE.test(name)) continue;
    const from = view.getUint32(at + 4);
    if (from + 4 > view.byteLength || !TABLE_TYPES.includes(typeAt(view, from))) return undefined;
  }
  return cleared;
}
