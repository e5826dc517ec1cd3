/** Who sends a request, as the API tells callers apart: by the header in which its platform puts a caller's address. */
import type { Outgoing } from './exchange.ts';

/** Adds a caller's address to a request. */
export type SignAs = (request: Outgoing, caller: number) => Outgoing;

/**
 * Addresses of the block that is kept for documentation, so that they are nobody's.
 * @param header the one that the API reads the caller's address from
 */
export function callersBy(header: string): SignAs {
  return (request, caller) => ({
    ...request,
    headers: { ...request.headers, [header]: `203.0.113.${1 + (caller % 254)}` },
  });
}
