/** JPEG as the decoder takes it: without comments and the metadata of programs, before the pixels. */
import { START_OF_SCAN, viewOf } from './containers.ts';
import { orientationOf, startsWith } from './exif.ts';
import { withoutPrograms } from './input-profile.ts';
import { Pieces } from './pieces.ts';

const [START_OF_IMAGE, END_OF_IMAGE, COMMENT] = [0xd8, 0xd9, 0xfe];
/** A name that ends in zero, the section's number, and how many there are. */
const PROFILE_NAME = 'ICC_PROFILE\0';
const [NUMBER_AT, SECTION_HEADER_BYTES] = [12, 14];
/** Sections that the decoder reads: from 1, up to the first that is missing. */
const MOST_SECTIONS = 100;
const MOST_SEGMENT_BYTES = 65_533;
const APP0 = 0xe0;
const [EXIF, PROFILE, ADOBE] = [APP0 + 1, APP0 + 2, APP0 + 14];
const isApplication = (marker: number) => marker >= APP0 && marker <= 0xef;
/** Markers without a segment, and zero, which makes the byte before it none. */
const isAlone = (marker: number) => marker < 0x02 || (marker >= 0xd0 && marker <= 0xd7);

/** The decoder reads metadata before the first scan, and not behind. */
export function strippedJpeg(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const pieces = new Pieces(bytes);
  let exif: Uint8Array | undefined;
  /** Of a profile, by their numbers. Of two that have the same one the decoder takes the last. */
  const sections = new Map<number, Uint8Array>();
  pieces.keep(0, 2);
  for (let at = bytes.indexOf(0xff, 2); at >= 0; ) {
    // A filling byte may be the beginning of the marker itself.
    let markerAt = at + 1;
    while (bytes[markerAt] === 0xff) markerAt++;
    const marker = bytes[markerAt];
    if (marker !== undefined && isAlone(marker)) {
      at = bytes.indexOf(0xff, markerAt + 1);
      continue;
    }
    const end = endOfSegment(view, markerAt);
    if (end === undefined) {
      for (const section of profileOf(sections)) pieces.add(segmentOf(PROFILE, section));
      // Pixels, or what the decoder refuses.
      pieces.keep(markerAt - 1, bytes.length);
      break;
    }
    const content = () => bytes.subarray(markerAt + 3, end);
    if (marker === EXIF && exif === undefined && startsWith(content(), 'Exif')) {
      exif = content();
      const orientation = orientationOf(exif);
      if (orientation !== undefined) pieces.add(segmentOf(EXIF, orientation));
    } else if (marker === PROFILE) {
      const section = content();
      if (isOfProfile(section)) sections.set(section[NUMBER_AT] as number, section);
    } else if (decidesPixels(marker as number)) pieces.keep(markerAt - 1, end);
    at = bytes[end] === 0xff ? end : bytes.indexOf(0xff, end);
  }
  return pieces.joined();
}

/** @returns undefined where there is none, it is cut off, or the pixels begin */
function endOfSegment(view: DataView, markerAt: number): number | undefined {
  if (markerAt + 3 > view.byteLength) return undefined;
  const marker = view.getUint8(markerAt);
  if (marker === START_OF_IMAGE || marker === END_OF_IMAGE || marker === START_OF_SCAN) {
    return undefined;
  }
  // Decoders take a length that is too small for that of nothing.
  const end = markerAt + 1 + Math.max(view.getUint16(markerAt + 1), 2);
  return end <= view.byteLength ? end : undefined;
}

/** JFIF and Adobe's say which colors there are. */
function decidesPixels(marker: number): boolean {
  return !isApplication(marker) ? marker !== COMMENT : marker === APP0 || marker === ADOBE;
}

/** The decoder ignores a section without content. */
function isOfProfile(section: Uint8Array): boolean {
  return startsWith(section, PROFILE_NAME) && section.length > SECTION_HEADER_BYTES;
}

/**
 * The colors of CMYK are those of a profile, which may be a program that never ends.
 * @returns what the decoder would read of the sections, without programs, in sections of our own: it reads what was checked, and nothing else
 */
function profileOf(sections: ReadonlyMap<number, Uint8Array>): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let number = 1; number <= MOST_SECTIONS; number++) {
    const section = sections.get(number);
    if (section === undefined) break;
    parts.push(section.subarray(SECTION_HEADER_BYTES));
  }
  const profile = withoutPrograms(Buffer.concat(parts));
  return profile === undefined ? [] : sectionsOf(profile);
}

function sectionsOf(profile: Uint8Array): Uint8Array[] {
  const most = MOST_SEGMENT_BYTES - SECTION_HEADER_BYTES;
  const count = Math.ceil(profile.length / most);
  return Array.from({ length: count }, (_, i) => {
    const head = Buffer.from([...Buffer.from(PROFILE_NAME), i + 1, count]);
    return Buffer.concat([head, profile.subarray(i * most, (i + 1) * most)]);
  });
}

function segmentOf(marker: number, content: Uint8Array): Uint8Array {
  const segment = new Uint8Array(4 + content.length);
  segment.set([0xff, marker]);
  viewOf(segment).setUint16(2, content.length + 2);
  segment.set(content, 4);
  return segment;
}
