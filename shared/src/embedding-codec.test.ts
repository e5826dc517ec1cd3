import { describe, expect, it } from 'vitest';
import { decodeEmbeddings, EmbeddingCodecError, encodeEmbeddings } from './embedding-codec.ts';

const shape = { numQueries: 3, hidden: 5 };
const values = Float32Array.from({ length: 15 }, (_, i) => Math.sin(i) * 10 ** (i % 5));

describe('encoded query embeddings', () => {
  it('come back as the nearest fp16 values', () => {
    const back = decodeEmbeddings(encodeEmbeddings({ ...shape, values }), shape);
    expect(back.numQueries).toBe(3);
    values.forEach((value, i) => {
      expect(Math.abs(back.values[i]! - value)).toBeLessThanOrEqual(Math.abs(value) / 2048);
    });
  });

  it('can be read from the middle of a larger buffer', () => {
    const encoded = encodeEmbeddings({ ...shape, values });
    const larger = new Uint8Array(encoded.length + 3);
    larger.set(encoded, 3);
    expect(decodeEmbeddings(larger.subarray(3), shape)).toEqual(decodeEmbeddings(encoded, shape));
  });

  it('are refused when a single bit of any byte is changed', () => {
    const encoded = encodeEmbeddings({ ...shape, values });
    for (let i = 0; i < encoded.length; i++) {
      const damaged = encoded.slice();
      damaged[i]! ^= 1;
      expect(() => decodeEmbeddings(damaged, shape), `byte ${i}`).toThrow(EmbeddingCodecError);
    }
  });

  it.each([0, 4, 11, 12, 41])('are refused when cut to %i bytes', (length) => {
    const cut = encodeEmbeddings({ ...shape, values }).slice(0, length);
    expect(() => decodeEmbeddings(cut, shape)).toThrow(EmbeddingCodecError);
  });

  it('are refused when they have another shape', () => {
    const encoded = encodeEmbeddings({ ...shape, values });
    expect(() => decodeEmbeddings(encoded, { numQueries: 5, hidden: 3 })).toThrow(/shape \[3, 5\]/);
  });

  it('cannot be made of too few values', () => {
    expect(() => encodeEmbeddings({ ...shape, values: values.subarray(1) })).toThrow(
      EmbeddingCodecError,
    );
  });
});
