import { describe, expect, it } from 'vitest';
import type { Precision } from './bundle-manifest.ts';
import {
  asKept,
  decodeEmbeddings,
  EmbeddingCodecError,
  embeddingTypeOf,
  encodeEmbeddings,
} from './embedding-codec.ts';

const shape = { numQueries: 3, hidden: 5 };
const values = Float32Array.from({ length: 15 }, (_, i) => Math.sin(i) * 10 ** (i % 5));

describe('encoded query embeddings', () => {
  it('come back exactly when they are kept in fp32', () => {
    const back = decodeEmbeddings(encodeEmbeddings({ ...shape, values }, 'float32'), shape);
    expect(back).toEqual({ ...shape, values });
    expect(asKept(values, 'float32')).toEqual(values);
  });

  it('come back as the nearest values of fp16 when they are kept in it', () => {
    const back = decodeEmbeddings(encodeEmbeddings({ ...shape, values }, 'float16'), shape);
    values.forEach((value, i) => {
      expect(Math.abs(back.values[i]! - value)).toBeLessThanOrEqual(Math.abs(value) / 2048);
    });
    expect(asKept(values, 'float16')).toEqual(back.values);
  });

  it('take 48 KiB and a header for a published model with rounded weights, 96 KiB in full precision', () => {
    const published = { numQueries: 32, hidden: 768, values: new Float32Array(32 * 768) };
    const sizeOf = (precision: Precision) =>
      encodeEmbeddings(published, embeddingTypeOf(precision)).byteLength;
    expect(sizeOf('int8')).toBe(48 * 1024 + 16);
    expect(sizeOf('int4')).toBe(48 * 1024 + 16);
    expect(sizeOf('fp32')).toBe(96 * 1024 + 16);
  });

  it('can be read from the middle of a larger buffer', () => {
    const encoded = encodeEmbeddings({ ...shape, values }, 'float16');
    const larger = new Uint8Array(encoded.length + 3);
    larger.set(encoded, 3);
    expect(decodeEmbeddings(larger.subarray(3), shape)).toEqual(decodeEmbeddings(encoded, shape));
  });

  it('are refused when a single bit of any byte is changed', () => {
    const encoded = encodeEmbeddings({ ...shape, values }, 'float16');
    for (let i = 0; i < encoded.length; i++) {
      const damaged = encoded.slice();
      damaged[i]! ^= 1;
      expect(() => decodeEmbeddings(damaged, shape), `byte ${i}`).toThrow(EmbeddingCodecError);
    }
  });

  it.each([0, 4, 11, 12, 41])('are refused when cut to %i bytes', (length) => {
    const cut = encodeEmbeddings({ ...shape, values }, 'float16').slice(0, length);
    expect(() => decodeEmbeddings(cut, shape)).toThrow(EmbeddingCodecError);
  });

  it('are refused when they have another shape', () => {
    const encoded = encodeEmbeddings({ ...shape, values }, 'float16');
    expect(() => decodeEmbeddings(encoded, { numQueries: 5, hidden: 3 })).toThrow(/shape \[3, 5\]/);
  });

  it('cannot be made of too few values', () => {
    expect(() => encodeEmbeddings({ ...shape, values: values.subarray(1) }, 'float16')).toThrow(
      EmbeddingCodecError,
    );
  });
});
