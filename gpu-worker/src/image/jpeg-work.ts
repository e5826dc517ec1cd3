/** What decoding a JPEG of many scans computes: each passes over the blocks of its components, however few bytes it has. */
import { markersOfJpeg, START_OF_SCAN, viewOf } from './containers.ts';

export type JpegWork = {
  /** Up to `most`. */
  scans: number;
  /** Of all blocks, as often as a scan passes over them. */
  coefficients: number;
  /** Coded arithmetically: bytes say even less of what they cost. */
  isArithmetic: boolean;
};

type Frame = {
  isProgressive: boolean;
  isArithmetic: boolean;
  components: { id: number; blocks: number }[];
};

const SIDE_OF_BLOCK = 8;
const COEFFICIENTS = SIDE_OF_BLOCK ** 2;
/** What a block costs by itself, in coefficients. */
const EACH_BLOCK = 4;

/**
 * @param isMultiple whether the decoder reads scans behind the first
 * @param most scans are counted
 */
export function workOfJpeg(
  bytes: Uint8Array,
  { isMultiple, most }: { isMultiple: boolean; most: number },
): JpegWork {
  const view = viewOf(bytes);
  const work: JpegWork = { scans: 0, coefficients: 0, isArithmetic: false };
  let frame: Frame | undefined;
  for (const { marker, at } of markersOfJpeg(view)) {
    if (isStartOfFrame(marker)) {
      frame ??= frameAt(view, at, marker);
      if (frame?.isArithmetic) work.isArithmetic = true;
    }
    if (marker !== START_OF_SCAN) continue;
    work.scans++;
    if (frame !== undefined) work.coefficients += coefficientsOfScan(view, at, frame);
    if (!isMultiple || work.scans >= most) break;
  }
  return work;
}

/** All from C0 to CF but the tables of Huffman and arithmetic coding, and one that is reserved. */
function isStartOfFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

/** @returns undefined where it is cut off */
function frameAt(view: DataView, at: number, marker: number): Frame | undefined {
  // Marker, length, bits, height, width, components; of each, its id, its sampling and the number of a table.
  if (at + 10 > view.byteLength) return undefined;
  const [height, width] = [view.getUint16(at + 5), view.getUint16(at + 7)];
  const count = view.getUint8(at + 9);
  if (at + 10 + 3 * count > view.byteLength) return undefined;
  const sampled = Array.from({ length: count }, (_, i) => {
    const sampling = view.getUint8(at + 11 + 3 * i);
    return { id: view.getUint8(at + 10 + 3 * i), across: sampling >> 4, down: sampling & 15 };
  });
  const groupsOf = (side: number, most: number) =>
    Math.ceil(side / (SIDE_OF_BLOCK * Math.max(most, 1)));
  const columns = groupsOf(width, Math.max(...sampled.map(({ across }) => across)));
  const rows = groupsOf(height, Math.max(...sampled.map(({ down }) => down)));
  return {
    // The last two bits are 2 for progressive ones; those from C8 on are arithmetic.
    isProgressive: (marker & 3) === 2,
    isArithmetic: marker > 0xc8,
    components: sampled.map(({ id, across, down }) => ({
      id,
      blocks: columns * across * rows * down,
    })),
  };
}

function coefficientsOfScan(view: DataView, at: number, frame: Frame): number {
  // Marker, length, components; of each, its id and the numbers of tables; first and last coefficient.
  const count = at + 5 <= view.byteLength ? view.getUint8(at + 4) : 0;
  const rangeAt = at + 5 + 2 * count;
  if (rangeAt + 2 > view.byteLength) return 0;
  let blocks = 0;
  for (let i = 0; i < count; i++) {
    const id = view.getUint8(at + 5 + 2 * i);
    // Should several have the same one, the largest.
    const own = frame.components.filter((component) => component.id === id);
    blocks += Math.max(0, ...own.map((component) => component.blocks));
  }
  // A scan of another kind has all, whatever it says.
  const passed = frame.isProgressive
    ? Math.max(1, view.getUint8(rangeAt + 1) - view.getUint8(rangeAt) + 1)
    : COEFFICIENTS;
  return blocks * (Math.min(passed, COEFFICIENTS) + EACH_BLOCK);
}
