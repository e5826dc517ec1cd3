/** The Worker's log: one line of JSON for each event. */

/**
 * Something that operators should know of and that the service copes with.
 * @example logWarning('cache-failure', { requestId, tier: 'kv', error: 'Error: timeout' });
 */
export function logWarning(event: string, fields: Record<string, unknown>): void {
  console.warn(JSON.stringify({ event, ...fields }));
}

/** Something that is ours to mend. */
export function logError(event: string, fields: Record<string, unknown>): void {
  console.error(JSON.stringify({ event, ...fields }));
}
