/** Cached embeddings as bytes: what was encoded comes back, and any other value is refused. */
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import * as fc from 'fast-check';
import { byteEdit, editBytes } from '../generate/byte-edits.ts';
import type { EmbeddingsInput } from '../subjects/embedding-values.ts';
import type { Target } from '../target.ts';
import { ThreadHost } from '../thread-host.ts';

const SHAPE = { numQueries: 3, hidden: 5 };
const type = fc.constantFrom('float16' as const, 'float32' as const);
const values = fc
  .float32Array({ minLength: 15, maxLength: 15, min: -65_504, max: 65_504, noNaN: true })
  .map((all) => Array.from(all));
const encoded = fc
  .tuple(values, type)
  .map(([all, as]) => encodeEmbeddings({ ...SHAPE, values: Float32Array.from(all) }, as));

const inputs: fc.Arbitrary<EmbeddingsInput> = fc.oneof(
  fc.record({ kind: fc.constant('values' as const), shape: fc.constant(SHAPE), values, type }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('bytes' as const),
      shape: fc.constant(SHAPE),
      bytes: fc.oneof(
        {
          weight: 4,
          arbitrary: fc
            .tuple(encoded, fc.array(byteEdit(16), { minLength: 1, maxLength: 3 }))
            .map(([bytes, edits]) => editBytes(bytes, edits)),
        },
        fc.uint8Array({ maxLength: 80 }),
      ),
    }),
  },
);

export const EMBEDDING_VALUES: Target<EmbeddingsInput> = {
  name: 'embedding-values',
  about: 'the codec of cached embeddings',
  share: 12,
  lanes: 1,
  open: async () => {
    const host = new ThreadHost('embedding-values');
    return {
      inputs,
      run: (input) => host.run(input),
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    };
  },
};
