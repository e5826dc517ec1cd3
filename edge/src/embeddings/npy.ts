/** NumPy's `.npy` format, version 1.0: little-endian, C order. */

import type { EmbeddingType } from '@blip2/shared/embedding-codec';

const DESCRIPTION = { float16: '<f2', float32: '<f4' } as const;

/**
 * @param payload values of `type`, row-major [rows, columns]
 * @returns the file; its header is padded so that the values begin at a multiple of 64
 */
export function toNpy(
  { type, payload }: { type: EmbeddingType; payload: Uint8Array },
  [rows, columns]: readonly [number, number],
): Uint8Array<ArrayBuffer> {
  return npyFile(DESCRIPTION[type], `(${rows}, ${columns})`, payload);
}

/** Texts of ASCII as an array of that length, each in as many characters as the longest: `numpy.str_`. */
export function textsToNpy(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const length = Math.max(1, ...texts.map((text) => text.length));
  const codes = new Uint32Array(texts.length * length);
  for (const [i, text] of texts.entries()) {
    for (let at = 0; at < text.length; at++) codes[i * length + at] = text.charCodeAt(at);
  }
  return npyFile(`<U${length}`, `(${texts.length},)`, new Uint8Array(codes.buffer));
}

/** @param shape as Python writes a tuple */
function npyFile(description: string, shape: string, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const dictionary = `{'descr': '${description}', 'fortran_order': False, 'shape': ${shape}, }`;
  const PREFIX_BYTES = 10;
  const unpadded = PREFIX_BYTES + dictionary.length + 1;
  const headerBytes = Math.ceil(unpadded / 64) * 64;
  const text = `${dictionary.padEnd(headerBytes - PREFIX_BYTES - 1)}\n`;
  const file = new Uint8Array(headerBytes + payload.byteLength);
  file.set([0x93, ...new TextEncoder().encode('NUMPY'), 1, 0]);
  new DataView(file.buffer).setUint16(8, text.length, true);
  file.set(new TextEncoder().encode(text), PREFIX_BYTES);
  file.set(payload, headerBytes);
  return file;
}
