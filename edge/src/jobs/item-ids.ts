/** Finds items of one name among very many, in memory of a few bytes an item: by hashes, which are stored part by part. */

import { Pauses } from '../pauses.ts';

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

/** Hashes that are sorted in one go: a million take a third of a second. */
const SORTED = 2048;
/** Hashes that begin alike and are more are of few names: of those that differ so many come together by no chance. */
const MANY = 2 * SORTED;
/** What a hash takes, in bytes that are read. */
const HASH_WORK = 16;

/**
 * Lines whose name an earlier one has, in their order.
 * @param count of all items
 * @param parts what `encodeIds` has made of them, in their order; gone through up to three times
 */
export async function findDuplicates(
  count: number,
  parts: () => Iterable<Uint8Array<ArrayBuffer>>,
  limit: number,
): Promise<Duplicate[]> {
  const pauses = new Pauses();
  const { words, ends } = await sharedOut(count, parts, pauses);
  const hashes = new BigUint64Array(words.buffer);
  const repeated = new Map<string, number | null>();
  let from = 0;
  for (const end of ends) {
    // So many are enough: each of them is at least one duplicate.
    if (repeated.size > limit) break;
    if (end - from > MANY) {
      const seen = new Set<bigint>();
      for (let at = from; at < end && repeated.size <= limit; at++) {
        const hash = hashes[at] ?? 0n;
        if (seen.has(hash)) repeated.set(`${words[2 * at]} ${words[2 * at + 1]}`, null);
        else seen.add(hash);
        if (at % SORTED === 0) await pauses.after(HASH_WORK * SORTED);
      }
      from = end;
      continue;
    }
    hashes.subarray(from, end).sort();
    for (let i = 2 * (from + 1); i < 2 * end; i += 2) {
      if (repeated.size > limit) break;
      if (words[i] === words[i - 2] && words[i + 1] === words[i - 1]) {
        repeated.set(`${words[i]} ${words[i + 1]}`, null);
      }
    }
    await pauses.after(HASH_WORK * (end - from));
    from = end;
  }
  const duplicates: Duplicate[] = [];
  if (repeated.size === 0) return duplicates;
  for (const part of parts()) {
    const view = viewOf(part);
    for (let at = 0; at < part.length; at += ENTRY_BYTES) {
      const hash = `${view.getUint32(at)} ${view.getUint32(at + 4)}`;
      const first = repeated.get(hash);
      if (first === undefined) continue;
      const line = view.getUint32(at + 8);
      if (first === null) repeated.set(hash, line);
      else if (duplicates.push({ line, first }) === limit) return duplicates;
    }
    await pauses.after(part.length);
  }
  return duplicates;
}

/** Hashes, two words each, those together that begin alike, a few of them at a time. @returns where each few end, too */
async function sharedOut(
  count: number,
  parts: () => Iterable<Uint8Array<ArrayBuffer>>,
  pauses: Pauses,
): Promise<{ words: Uint32Array<ArrayBuffer>; ends: Uint32Array }> {
  const bits = Math.min(16, Math.ceil(Math.log2(Math.max(1, count / SORTED))));
  const counts = new Uint32Array(2 ** bits);
  const few = (view: DataView, at: number) => view.getUint16(at) >>> (16 - bits);
  for (const part of parts()) {
    const view = viewOf(part);
    for (let at = 0; at < part.length; at += ENTRY_BYTES) {
      const index = few(view, at);
      counts[index] = (counts[index] ?? 0) + 1;
    }
    await pauses.after(part.length);
  }
  const next = new Uint32Array(counts.length);
  for (let i = 1; i < next.length; i++) next[i] = (next[i - 1] ?? 0) + (counts[i - 1] ?? 0);
  const words = new Uint32Array(2 * count);
  for (const part of parts()) {
    const view = viewOf(part);
    for (let at = 0; at < part.length; at += ENTRY_BYTES) {
      const index = few(view, at);
      const to = next[index] ?? 0;
      next[index] = to + 1;
      words[2 * to] = view.getUint32(at);
      words[2 * to + 1] = view.getUint32(at + 4);
    }
    await pauses.after(part.length);
  }
  return { words, ends: next };
}

const viewOf = (part: Uint8Array<ArrayBuffer>) =>
  new DataView(part.buffer, part.byteOffset, part.byteLength);
