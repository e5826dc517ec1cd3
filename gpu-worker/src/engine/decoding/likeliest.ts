/**
 * Orders and picks logits without comparing any two of them. Of 50,000 a sort by comparison takes longer than a decode step, and a
 * request may ask for it with every token of eight sequences, which all other streams then wait for.
 */

/** Bits of a key that one pass looks at: three passes for 32. */
const DIGIT_BITS = 11;
const DIGITS = 2 ** DIGIT_BITS;

/** Integers in the opposite order of the floats: the largest logit has the least key. */
function keysOf(logits: Float32Array): Uint32Array {
  const keys = new Uint32Array(logits.buffer, logits.byteOffset, logits.length).slice();
  for (let i = 0; i < keys.length; i++) {
    const bits = keys[i] as number;
    // Beyond the sign bit, more means less for negative numbers; −0 is 0.
    keys[i] = bits <= 0x80000000 ? ~bits & 0x7fffffff : bits;
  }
  return keys;
}

/**
 * Token ids whose logit is at least `floor`, likeliest first, the lower id first among equals.
 * @example likeliestFirst(Float32Array.of(1, 5, 5, 0), 1) // [1, 2, 0]
 */
export function likeliestFirst(logits: Float32Array, floor: number): Uint32Array {
  const all = keysOf(logits);
  let [keys, ids] = [new Uint32Array(all.length), new Uint32Array(all.length)];
  let count = 0;
  for (let id = 0; id < all.length; id++) {
    if (!((logits[id] as number) >= floor)) continue;
    keys[count] = all[id] as number;
    ids[count++] = id;
  }
  let [nextKeys, nextIds] = [new Uint32Array(count), new Uint32Array(count)];
  [keys, ids] = [keys.subarray(0, count), ids.subarray(0, count)];
  // Each pass leaves those with the same digit in the order that the last one gave them.
  for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
    const places = placesOf(keys, shift);
    for (let i = 0; i < count; i++) {
      const key = keys[i] as number;
      const digit = (key >>> shift) & (DIGITS - 1);
      const place = places[digit] as number;
      places[digit] = place + 1;
      nextKeys[place] = key;
      nextIds[place] = ids[i] as number;
    }
    [keys, nextKeys, ids, nextIds] = [nextKeys, keys, nextIds, ids];
  }
  return ids;
}

/** Where in the order the keys with each digit begin. */
function placesOf(keys: Uint32Array, shift: number): Uint32Array {
  const counts = countDigits(keys, shift);
  let before = 0;
  for (let digit = 0; digit < DIGITS; digit++) {
    const own = counts[digit] as number;
    counts[digit] = before;
    before += own;
  }
  return counts;
}

/** How many keys have each digit. */
function countDigits(keys: Uint32Array, shift: number): Uint32Array {
  const counts = new Uint32Array(DIGITS);
  for (let i = 0; i < keys.length; i++) {
    const digit = ((keys[i] as number) >>> shift) & (DIGITS - 1);
    counts[digit] = (counts[digit] as number) + 1;
  }
  return counts;
}

/** The k-th largest logit: 1 … `logits.length`. Only those near it are sorted. */
export function kthLargest(logits: Float32Array, k: number): number {
  const keys = keysOf(logits);
  const shift = 2 * DIGIT_BITS;
  const counts = countDigits(keys, shift);
  let digit = 0;
  let before = 0;
  while (before + (counts[digit] as number) < k) before += counts[digit++] as number;
  const near = new Float32Array(counts[digit] as number);
  for (let i = 0, at = 0; i < keys.length; i++) {
    if ((keys[i] as number) >>> shift === digit) near[at++] = logits[i] as number;
  }
  return near.sort()[near.length - (k - before)] as number;
}
