/** Cached replies as they are stored: a list of entries in JSON, each sealed on its own, the newest first. */
import * as z from 'zod/mini';

/** One reply: which, who wrote it, when, and its frames as base64. */
export const ReplyEntry = z.object({
  digest: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  /** Fingerprint of the GPU worker that wrote it. */
  worker: z.string(),
  /** When it was asked for, milliseconds since the epoch: its age. */
  asked_at: z.int(),
  /** When the image that it was made of was sent, milliseconds since the epoch: a later deletion takes it along. */
  sent_at: z.int(),
  /** When its image was last known not to have been deleted, milliseconds since the epoch. Not sealed: it is renewed. */
  verified_at: z.int(),
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

/**
 * All entries, each reply once, and the newest of it; the newest first, and as many as there is room for.
 * @param added just now: it stands for its reply whatever time others say
 */
export function mergeEntries(entries: readonly ReplyEntry[], added?: ReplyEntry): ReplyEntry[] {
  const byDigest = new Map<string, ReplyEntry>();
  if (added !== undefined) byDigest.set(added.digest, added);
  const sorted = entries.toSorted(
    (a, b) => b.asked_at - a.asked_at || b.verified_at - a.verified_at,
  );
  for (const entry of sorted) {
    if (!byDigest.has(entry.digest)) byDigest.set(entry.digest, entry);
  }
  let length = 0;
  return [...byDigest.values()].slice(0, MAX_ENTRIES).filter(({ frames }) => {
    length += frames.length;
    return length <= MAX_TOTAL_LENGTH;
  });
}
