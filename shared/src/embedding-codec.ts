/**
 * Encodes the embeddings of an image for caches and frames: values behind a header with a checksum.
 *
 * `"QFE2" | u16 queries | u16 hidden | u32 bytes of a value | u32 CRC-32 of what follows | [queries, hidden]`,
 * little endian. A model in full precision stores fp32, so that a hit is as exact as a miss (96 KiB for the published
 * checkpoints); one with quantized weights stores fp16, whose error is far below theirs (48 KiB).
 */
import { crc32 } from 'node:zlib';
import type { Precision } from './precision.ts';

const MAGIC = 0x32454651; // "QFE2"
const HEADER_BYTES = 16;
const TYPED_ARRAY = { float16: Float16Array, float32: Float32Array } as const;

/** Data type in which values are stored. */
export type EmbeddingType = keyof typeof TYPED_ARRAY;

/** Of the embeddings of one image: [numQueries, hidden]. */
export type EmbeddingShape = { numQueries: number; hidden: number };

/** Embeddings of one image, float32, row-major [numQueries, hidden]. */
export type QueryEmbeddings = EmbeddingShape & { values: Float32Array };

/** Thrown when a value is truncated, damaged, not finite, or of another shape: the caller treats it as a miss. */
export class EmbeddingCodecError extends Error {
  override name = 'EmbeddingCodecError';
}

/** The data type in which a model of this precision stores its embeddings. */
export function embeddingTypeOf(precision: Precision): EmbeddingType {
  return precision === 'fp32' ? 'float32' : 'float16';
}

/** The values as they come out of the cache: after a miss and after a hit, text is generated from the same numbers. */
export function asStored(values: Float32Array, type: EmbeddingType): Float32Array {
  return type === 'float32' ? values : Float32Array.from(new Float16Array(values));
}

/** The most bytes that embeddings of a shape are encoded in. */
export function maxEncodedBytes({ numQueries, hidden }: EmbeddingShape): number {
  return HEADER_BYTES + numQueries * hidden * TYPED_ARRAY.float32.BYTES_PER_ELEMENT;
}

/**
 * @example encodeEmbeddings({ numQueries: 32, hidden: 768, values }, 'float16').byteLength // 16 + 32 * 768 * 2
 * @throws EmbeddingCodecError when the values do not fill the shape
 */
export function encodeEmbeddings(
  { numQueries, hidden, values }: QueryEmbeddings,
  type: EmbeddingType,
): Uint8Array<ArrayBuffer> {
  if (values.length !== numQueries * hidden) {
    throw new EmbeddingCodecError(`${values.length} values do not fill [${numQueries}, ${hidden}]`);
  }
  const { BYTES_PER_ELEMENT } = TYPED_ARRAY[type];
  const bytes = new Uint8Array(HEADER_BYTES + values.length * BYTES_PER_ELEMENT);
  new TYPED_ARRAY[type](bytes.buffer, HEADER_BYTES).set(values);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, numQueries, true);
  view.setUint16(6, hidden, true);
  view.setUint32(8, BYTES_PER_ELEMENT, true);
  view.setUint32(12, crc32(bytes.subarray(HEADER_BYTES)), true);
  return bytes;
}

/**
 * The bare values of an intact encoded value, little endian, and their data type.
 * @throws EmbeddingCodecError when the bytes are not an intact value of the expected shape
 */
export function embeddingPayload(
  bytes: Uint8Array,
  expected: EmbeddingShape,
): { type: EmbeddingType; payload: Uint8Array } {
  if (bytes.byteLength < HEADER_BYTES) throw new EmbeddingCodecError('the value is truncated');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = view.getUint32(8, true);
  const type = (['float16', 'float32'] as const).find(
    (name) => TYPED_ARRAY[name].BYTES_PER_ELEMENT === size,
  );
  if (view.getUint32(0, true) !== MAGIC || type === undefined)
    throw new EmbeddingCodecError('the value has another format');
  const numQueries = view.getUint16(4, true);
  const hidden = view.getUint16(6, true);
  if (numQueries !== expected.numQueries || hidden !== expected.hidden) {
    throw new EmbeddingCodecError(
      `the value has shape [${numQueries}, ${hidden}], not [${expected.numQueries}, ${expected.hidden}]`,
    );
  }
  const payload = bytes.subarray(HEADER_BYTES);
  if (payload.byteLength !== numQueries * hidden * size) {
    throw new EmbeddingCodecError('the value is truncated');
  }
  if (crc32(payload) !== view.getUint32(12, true))
    throw new EmbeddingCodecError('the value is damaged');
  if (!hasOnlyFinite(payload, type))
    throw new EmbeddingCodecError('a value is not a finite number');
  return { type, payload };
}

/** Whether no value is infinite or NaN: then all bits of its exponent are set. */
function hasOnlyFinite(payload: Uint8Array, type: EmbeddingType): boolean {
  const size = TYPED_ARRAY[type].BYTES_PER_ELEMENT;
  const { buffer, byteOffset, byteLength } =
    payload.byteOffset % size === 0 ? payload : payload.slice();
  const [bits, exponent] =
    type === 'float16'
      ? ([new Uint16Array(buffer, byteOffset, byteLength / size), 0x7c00] as const)
      : ([new Uint32Array(buffer, byteOffset, byteLength / size), 0x7f80_0000] as const);
  for (let i = 0; i < bits.length; i++) {
    if (((bits[i] as number) & exponent) === exponent) return false;
  }
  return true;
}

/** @throws EmbeddingCodecError when the bytes are not an intact value of the expected shape */
export function decodeEmbeddings(bytes: Uint8Array, expected: EmbeddingShape): QueryEmbeddings {
  const { type, payload } = embeddingPayload(bytes, expected);
  const aligned = payload.slice();
  return { ...expected, values: Float32Array.from(new TYPED_ARRAY[type](aligned.buffer)) };
}
