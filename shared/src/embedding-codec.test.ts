import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asStored,
  decodeEmbeddings,
  EmbeddingCodecError,
  embeddingTypeOf,
  encodeEmbeddings,
} from './embedding-codec.ts';
import type { Precision } from './precision.ts';

const shape = { numQueries: 3, hidden: 5 };
const values = Float32Array.from({ length: 15 }, (_, i) => Math.sin(i) * 10 ** (i % 5));

describe('encoded embeddings', () => {
  it('decode to the same values from fp32', () => {
    const decoded = decodeEmbeddings(encodeEmbeddings({ ...shape, values }, 'float32'), shape);
    expect(decoded).toEqual({ ...shape, values });
    expect(asStored(values, 'float32')).toEqual(values);
  });

  it('decode to the nearest values of fp16 from fp16', () => {
    const decoded = decodeEmbeddings(encodeEmbeddings({ ...shape, values }, 'float16'), shape);
    values.forEach((value, i) => {
      expect(Math.abs(decoded.values[i]! - value)).toBeLessThanOrEqual(Math.abs(value) / 2048);
    });
    expect(asStored(values, 'float16')).toEqual(decoded.values);
  });

  it('have 48 KiB and a header for a published model with quantized weights, 96 KiB in full precision', () => {
    const published = { numQueries: 32, hidden: 768, values: new Float32Array(32 * 768) };
    const sizeOf = (precision: Precision) =>
      encodeEmbeddings(published, embeddingTypeOf(precision)).byteLength;
    expect(sizeOf('int8')).toBe(48 * 1024 + 16);
    expect(sizeOf('int4')).toBe(48 * 1024 + 16);
    expect(sizeOf('fp32')).toBe(96 * 1024 + 16);
  });

  it('can be decoded from the middle of a larger buffer', () => {
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

  it('cannot be encoded from too few values', () => {
    expect(() => encodeEmbeddings({ ...shape, values: values.subarray(1) }, 'float16')).toThrow(
      EmbeddingCodecError,
    );
  });
});

describe.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%f', (odd) => {
  it.each(['float16', 'float32'] as const)('as %s is refused wherever it stands', (type) => {
    for (const at of values.keys()) {
      const encoded = encodeEmbeddings({ ...shape, values: values.with(at, odd) }, type);
      const refusal = 'a value is not a finite number';
      expect(() => decodeEmbeddings(encoded, shape)).toThrow(new EmbeddingCodecError(refusal));
    }
  });
});

describe('any embeddings', () => {
  const embeddings = fc.tuple(fc.nat(6), fc.nat(6)).chain(([numQueries, hidden]) =>
    fc.record({
      numQueries: fc.constant(numQueries),
      hidden: fc.constant(hidden),
      values: fc.float32Array({
        minLength: numQueries * hidden,
        maxLength: numQueries * hidden,
        noNaN: true,
        // Beyond this is infinity in float16.
        max: 65_504,
        min: -65_504,
      }),
    }),
  );
  const types = fc.constantFrom('float16' as const, 'float32' as const);

  it('decode to the values as they are stored', () => {
    fc.assert(
      fc.property(embeddings, types, (given, type) => {
        const decoded = decodeEmbeddings(encodeEmbeddings(given, type), given);
        expect(decoded.values).toEqual(asStored(given.values, type));
      }),
    );
  });

  it('from arbitrary bytes after a valid header are an EmbeddingCodecError', () => {
    const header = encodeEmbeddings({ ...shape, values }, 'float16').subarray(0, 16);
    fc.assert(
      fc.property(fc.nat(16), fc.uint8Array({ maxLength: 60 }), (length, rest) => {
        const bytes = Uint8Array.of(...header.subarray(0, length), ...rest);
        expect(() => decodeEmbeddings(bytes, shape)).toThrow(EmbeddingCodecError);
      }),
    );
  });
});
