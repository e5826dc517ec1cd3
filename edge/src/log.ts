/** The Worker's log: one line of JSON for each event, with the id of the request it belongs to. */

type Fields = { request_id: string } & Record<string, unknown>;

/**
 * An event that operators should know of, and that the service handles.
 * @example logWarning('cache-failure', { request_id, operation: 'kv get', error: 'Error: timeout' });
 *   // {"level":"warn","event":"cache-failure","request_id":"…","operation":"kv get","error":"Error: timeout"}
 */
export function logWarning(event: string, fields: Fields): void {
  console.warn(JSON.stringify({ level: 'warn', event, ...fields }));
}

/** A fault of this service. */
export function logError(event: string, fields: Fields): void {
  console.error(JSON.stringify({ level: 'error', event, ...fields }));
}
