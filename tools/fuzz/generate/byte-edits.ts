/** Changes bytes: single bits, numbers at limits, parts that are cut out, moved or repeated, and ends cut off. */
import * as fc from 'fast-check';

/** A change at one place, a byte of the first `head` or of all: `at` counts round and round. */
export type ByteEdit = { at: number } & (
  | { do: 'flip'; bit: number }
  | { do: 'set'; bytes: Uint8Array }
  | { do: 'insert'; bytes: Uint8Array }
  | { do: 'remove'; count: number }
  | { do: 'repeat'; count: number; times: number }
  | { do: 'copy'; count: number; to: number }
  | { do: 'cut' }
);

/** Whole numbers of 1, 2, 4 and 8 bytes, both ways around. */
const LIMITS = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0xfffffffen,
  0xffffffffn,
];

function numberBytes(value: bigint, size: 1 | 2 | 4 | 8, isLittle: boolean): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(8 * size, value), isLittle);
  return isLittle ? bytes.slice(0, size) : bytes.slice(8 - size);
}

const numbers = fc
  .tuple(fc.constantFrom(...LIMITS, -1n, -2n), fc.constantFrom(1, 2, 4, 8), fc.boolean())
  .map(([value, size, isLittle]) => numberBytes(value, size as 1 | 2 | 4 | 8, isLittle));

/** @param head how many bytes at the beginning get half of the changes */
export function byteEdit(head = 64): fc.Arbitrary<ByteEdit> {
  const at = fc.oneof(fc.nat(head), fc.nat(2 ** 24));
  const count = fc.oneof(fc.nat(8), fc.nat(4096));
  const bytes = fc.oneof(numbers, fc.uint8Array({ minLength: 1, maxLength: 16 }));
  return fc.oneof(
    { weight: 4, arbitrary: fc.record({ at, do: fc.constant('flip'), bit: fc.nat(7) }) },
    { weight: 6, arbitrary: fc.record({ at, do: fc.constant('set'), bytes }) },
    { weight: 2, arbitrary: fc.record({ at, do: fc.constant('insert'), bytes }) },
    { weight: 2, arbitrary: fc.record({ at, do: fc.constant('remove'), count }) },
    {
      weight: 1,
      arbitrary: fc.record({
        at,
        do: fc.constant('repeat'),
        count,
        times: fc.integer({ min: 1, max: 50 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ at, do: fc.constant('copy'), count, to: fc.nat(2 ** 24) }),
    },
    { weight: 1, arbitrary: fc.record({ at, do: fc.constant('cut') }) },
  ) as fc.Arbitrary<ByteEdit>;
}

export function editBytes(bytes: Uint8Array, edits: readonly ByteEdit[]): Uint8Array<ArrayBuffer> {
  let current = Buffer.from(bytes);
  for (const edit of edits) current = applied(current, edit);
  return new Uint8Array(current);
}

function applied(bytes: Buffer<ArrayBuffer>, edit: ByteEdit): Buffer<ArrayBuffer> {
  const at = edit.at % Math.max(1, bytes.length);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (edit.do) {
    case 'flip': {
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = (changed[at] as number) ^ (1 << edit.bit);
      return changed;
    }
    case 'set':
      return Buffer.concat([before, edit.bytes, after.subarray(edit.bytes.length)]);
    case 'insert':
      return Buffer.concat([before, edit.bytes, after]);
    case 'remove':
      return Buffer.concat([before, after.subarray(edit.count)]);
    case 'repeat': {
      const part = after.subarray(0, edit.count);
      return Buffer.concat([before, ...Array<Buffer>(edit.times).fill(part), after]);
    }
    case 'copy': {
      const to = edit.to % Math.max(1, bytes.length);
      return Buffer.concat([
        bytes.subarray(0, to),
        after.subarray(0, edit.count),
        bytes.subarray(to),
      ]);
    }
    case 'cut':
      return before;
  }
}
