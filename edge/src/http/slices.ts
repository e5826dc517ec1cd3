/** Pieces of a reply in slices: so it is known how fast they are read, and who reads slowly does not count as one who reads nothing. */

/** Where the reader is slow. */
export const SLICE_BYTES = 2 ** 14;
/** Where it is fast: each costs a turn and a timer. */
const MOST_BYTES = 2 ** 16;
/** Milliseconds: a slice that is read sooner may be longer, */
const FAST_MS = 100;
/** and one that takes longer is too long. */
const SLOW_MS = 500;

/**
 * The same bytes.
 * @param now milliseconds
 */
export async function* slicesOf(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  now: () => number = Date.now,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = SLICE_BYTES;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const slice = chunk.subarray(at, at + size);
      at += slice.length;
      const since = now();
      yield slice;
      const ms = now() - since;
      if (ms > SLOW_MS) size = Math.max(SLICE_BYTES, size / 2);
      // A shorter one says nothing about longer ones.
      else if (ms < FAST_MS && slice.length === size) size = Math.min(MOST_BYTES, 2 * size);
    }
  }
}
