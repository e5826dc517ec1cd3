/** Cached replies as they are stored: a list of entries in JSON, each sealed on its own, the newest first. */
import * as z from 'zod/mini';

/** One reply: which, who wrote it, when, and its frames as base64. */
export const ReplyEntry = z.object({
  digest: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  /** Fingerprint of the GPU worker that wrote it. */
  worker: z.string(),
  /** Seconds since the epoch. */
  made_at: z.int(),
  seal: z.string(),
  frames: z.string(),
});
export type ReplyEntry = z.infer<typeof ReplyEntry>;

/** Of one image: whoever asks for more makes room by the oldest. */
const MAX_ENTRIES = 128;
const MAX_TOTAL_LENGTH = 2 ** 17;

const ReplyEntries = z.array(ReplyEntry);

/** @returns null for what is no list of entries */
export function readEntries(text: string): ReplyEntry[] | null {
  try {
    return ReplyEntries.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** All entries, each reply once and the newest of it, of two as new the first; as many as there is room for. */
export function mergeEntries(...lists: readonly (readonly ReplyEntry[])[]): ReplyEntry[] {
  const sorted = lists.flat().sort((a, b) => b.made_at - a.made_at);
  const merged = new Map<string, ReplyEntry>();
  let length = 0;
  for (const entry of sorted) {
    if (merged.has(entry.digest)) continue;
    length += entry.frames.length;
    if (merged.size === MAX_ENTRIES || length > MAX_TOTAL_LENGTH) break;
    merged.set(entry.digest, entry);
  }
  return [...merged.values()];
}
