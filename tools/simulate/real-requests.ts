/** The requests that are measured, and simulated: a question about an image that is uploaded, and a streamed reply of so many tokens. */
import { type Exchange, exchange, type Outgoing } from '../load/exchange.ts';
import { systemClock } from '../load/open-loop.ts';

/**
 * @param number makes the question one that was never asked: the positions of its text are in no cache
 * @param tokens of the reply, exactly
 */
export function question(bytes: Uint8Array<ArrayBuffer>, number: number, tokens: number): Outgoing {
  const query = new URLSearchParams({
    // Of as many tokens each, and as different as can be.
    question: `is it ${String(number).padStart(5, '0')}?`,
    stream: 'true',
    max_tokens: String(tokens),
    min_tokens: String(tokens),
  });
  return {
    method: 'POST',
    path: `/v1/answers?${query}`,
    headers: { 'content-type': 'application/octet-stream', 'cache-control': 'no-cache' },
    body: bytes,
  };
}

/** @throws Error when it fails */
export async function ask(url: string, request: Outgoing): Promise<Exchange & { sentAt: number }> {
  const sentAt = systemClock.now();
  const result = await exchange(url, request, systemClock);
  if (result.failure !== null) throw new Error(`${request.path} fails: ${result.failure}`);
  return { ...result, sentAt };
}
