/** Decodes embeddings: those that were encoded must come back, and other bytes give an EmbeddingCodecError. */
import { isDeepStrictEqual } from 'node:util';
import {
  asStored,
  decodeEmbeddings,
  EmbeddingCodecError,
  type EmbeddingShape,
  type EmbeddingType,
  encodeEmbeddings,
} from '@blip2/shared/embedding-codec';
import { Violation } from '../violation.ts';

export type EmbeddingsInput =
  | { kind: 'values'; shape: EmbeddingShape; values: number[]; type: EmbeddingType }
  | { kind: 'bytes'; shape: EmbeddingShape; bytes: Uint8Array };

export function readEmbeddings(input: EmbeddingsInput): string {
  const { shape } = input;
  if (input.kind === 'values') {
    const values = Float32Array.from(input.values);
    const decoded = decodeEmbeddings(encodeEmbeddings({ ...shape, values }, input.type), shape);
    if (!isDeepStrictEqual(decoded.values, asStored(values, input.type))) {
      throw new Violation('embeddings come back as others');
    }
    return 'the same values';
  }
  try {
    const { values } = decodeEmbeddings(input.bytes, shape);
    if (values.length !== shape.numQueries * shape.hidden) {
      throw new Violation('embeddings of another shape are taken');
    }
    return 'intact';
  } catch (error) {
    if (!(error instanceof EmbeddingCodecError)) throw error;
    return 'refused';
  }
}
