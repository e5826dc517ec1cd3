/** Finds items of one name among very many, in memory of a few bytes an item: by hashes, which are stored part by part. */

/** A hash of 64 bits and the number of a line of 32. */
const ENTRY_BYTES = 12;

export type NamedLine = { custom_id: string; line: number };

/** @param salt makes hashes that nobody can plan for */
export async function encodeIds(
  items: readonly NamedLine[],
  salt: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  const digests = await Promise.all(
    items.map(({ custom_id }) =>
      crypto.subtle.digest('SHA-256', encoder.encode(`${salt} ${custom_id}`)),
    ),
  );
  const bytes = new Uint8Array(items.length * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { line }] of items.entries()) {
    const digest = digests[index];
    if (digest !== undefined) bytes.set(new Uint8Array(digest, 0, 8), index * ENTRY_BYTES);
    view.setUint32(index * ENTRY_BYTES + 8, line);
  }
  return bytes;
}

/** @property first the line that had the name before */
export type Duplicate = { line: number; first: number };

/**
 * Lines whose name an earlier one has, in their order.
 * @param count of all items
 * @param parts what `encodeIds` has made of them, in their order; gone through twice
 */
export function findDuplicates(
  count: number,
  parts: () => Iterable<Uint8Array<ArrayBuffer>>,
  limit: number,
): Duplicate[] {
  const hashes = new BigUint64Array(count);
  let filled = 0;
  for (const part of parts()) for (const { hash } of entriesOf(part)) hashes[filled++] = hash;
  hashes.sort();
  const repeated = new Map<bigint, number | null>();
  for (let i = 1; i < hashes.length; i++) {
    const hash = hashes[i];
    // So many are enough: each of them is at least one duplicate.
    if (hash !== undefined && hash === hashes[i - 1] && repeated.size <= limit)
      repeated.set(hash, null);
  }
  const duplicates: Duplicate[] = [];
  if (repeated.size === 0) return duplicates;
  for (const part of parts()) {
    for (const { hash, line } of entriesOf(part)) {
      const first = repeated.get(hash);
      if (first === undefined) continue;
      if (first === null) repeated.set(hash, line);
      else if (duplicates.push({ line, first }) === limit) return duplicates;
    }
  }
  return duplicates;
}

function* entriesOf(part: Uint8Array<ArrayBuffer>): Generator<{ hash: bigint; line: number }> {
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
  for (let at = 0; at < part.length; at += ENTRY_BYTES) {
    yield { hash: view.getBigUint64(at), line: view.getUint32(at + 8) };
  }
}
