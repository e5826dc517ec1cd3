/** A deadline for what the Worker waits for outside of itself: what neither succeeds nor fails must fail. */

/** Whether the wait was given up, rather than what was waited for failing by itself. */
export class TooSlowError extends Error {
  override name = 'TooSlowError';
}

/**
 * What `work` resolves to or rejects with, if it does so in time. The work itself goes on where it cannot be aborted.
 * @param ms milliseconds; none or fewer are no time at all
 * @throws TooSlowError
 * @example await within(2000, kv.get(key), 'kv get')
 */
export async function within<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const fail = () => reject(new TooSlowError(`${what} did not settle within ${ms} ms`));
    timer = setTimeout(fail, Math.max(ms, 0));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
