/** What one request does for each of hundreds, a few at a time: hundreds that wait would each take a turn of others once it has failed. */

const AT_A_TIME = 6;

/**
 * @param make gets what is aborted as soon as one has failed, and what is under way need not go on
 * @returns what comes of each, in their order
 * @throws what the first that fails throws; none begins after it
 * @example await fewAtATime(ids, (id, _, ended) => bulkReads.run(client, () => cache.read(id), { ended }))
 */
export async function fewAtATime<T, R>(
  items: readonly T[],
  make: (item: T, index: number, ended: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const end = new AbortController();
  const made: R[] = [];
  const entries = items.entries();
  const makeNext = async () => {
    for (const [index, item] of entries) {
      made[index] = await make(item, index, end.signal);
      if (end.signal.aborted) return;
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_A_TIME }, makeNext));
    return made;
  } finally {
    end.abort();
  }
}
