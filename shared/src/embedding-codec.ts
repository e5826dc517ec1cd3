/**
 * Query embeddings as they are kept and sent: fp16 values behind a small checked header.
 *
 * `"QFE1" | u16 queries | u16 hidden | u32 CRC-32 of what follows | fp16 [queries, hidden]`, little endian.
 */
import { crc32 } from 'node:zlib';

const MAGIC = 0x31454651; // "QFE1"
const HEADER_BYTES = 12;

export type EmbeddingShape = { numQueries: number; hidden: number };

/** Query embeddings of one image, row-major [numQueries, hidden]. */
export type QueryEmbeddings = EmbeddingShape & { values: Float32Array };

/** Thrown when a value is truncated, damaged, or of another shape: the caller treats it as a miss. */
export class EmbeddingCodecError extends Error {
  override name = 'EmbeddingCodecError';
}

export function encodeEmbeddings(embeddings: QueryEmbeddings): Uint8Array<ArrayBuffer> {
  const { numQueries, hidden, values } = embeddings;
  if (values.length !== numQueries * hidden) {
    throw new EmbeddingCodecError(`${values.length} values do not fill [${numQueries}, ${hidden}]`);
  }
  const bytes = new Uint8Array(HEADER_BYTES + values.length * 2);
  new Float16Array(bytes.buffer, HEADER_BYTES).set(values);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, numQueries, true);
  view.setUint16(6, hidden, true);
  view.setUint32(8, crc32(bytes.subarray(HEADER_BYTES)), true);
  return bytes;
}

/**
 * The fp16 values of an intact encoded value, as bytes: what `application/octet-stream` replies hold.
 * @throws EmbeddingCodecError when the bytes are not an intact value of the expected shape
 */
export function embeddingPayload(bytes: Uint8Array, expected: EmbeddingShape): Uint8Array {
  if (bytes.byteLength < HEADER_BYTES) throw new EmbeddingCodecError('the value is truncated');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC)
    throw new EmbeddingCodecError('the value has another format');
  const numQueries = view.getUint16(4, true);
  const hidden = view.getUint16(6, true);
  if (numQueries !== expected.numQueries || hidden !== expected.hidden) {
    throw new EmbeddingCodecError(
      `the value has shape [${numQueries}, ${hidden}], not [${expected.numQueries}, ${expected.hidden}]`,
    );
  }
  const payload = bytes.subarray(HEADER_BYTES);
  if (payload.byteLength !== numQueries * hidden * 2) {
    throw new EmbeddingCodecError('the value is truncated');
  }
  if (crc32(payload) !== view.getUint32(8, true))
    throw new EmbeddingCodecError('the value is damaged');
  return payload;
}

/** @throws EmbeddingCodecError when the bytes are not an intact value of the expected shape */
export function decodeEmbeddings(bytes: Uint8Array, expected: EmbeddingShape): QueryEmbeddings {
  const payload = embeddingPayload(bytes, expected);
  const aligned = payload.slice();
  return { ...expected, values: Float32Array.from(new Float16Array(aligned.buffer)) };
}
