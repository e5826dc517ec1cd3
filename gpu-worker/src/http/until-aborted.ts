/** Stops waiting for work that a signal cannot reach. */

/**
 * Settles as the work does, or rejects with the signal's reason as soon as that aborts. The work goes on, unheard.
 * @example const first = await untilAborted(frames.next(), signal);
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Whatever loses has been answered for.
    work.catch(() => {});
  }
}
