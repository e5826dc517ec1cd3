/** Trying again what was interrupted: exponential backoff with a limit, and the server's own wish first. */
import { setTimeout as delay } from 'node:timers/promises';
import { HubError, InterruptedError } from './errors.ts';

/** Resolves after that many milliseconds; rejects when the signal aborts. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

export type RetryOptions = {
  signal: AbortSignal;
  wait: Wait;
  /** Whether the last attempt got further: then the count starts anew. */
  progressed?: () => boolean;
  /** Whether a hub that cannot be reached at all is tried again. */
  unreachable?: 'fails' | 'waits';
};

const ATTEMPTS = 6;
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
/** A server that asks for more is not waited for any longer. */
const LONGEST_RETRY_AFTER_MS = 300_000;

/**
 * @throws HubError when six attempts in a row got nowhere
 * @throws whatever `attempt` throws that is no InterruptedError
 */
export async function retrying<T>(
  attempt: () => Promise<T>,
  { signal, wait, progressed = () => false, unreachable = 'fails' }: RetryOptions,
): Promise<T> {
  for (let failures = 0; ; ) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof InterruptedError)) throw error;
      if (error.unreachable && unreachable === 'fails') throw error;
      failures = progressed() ? 1 : failures + 1;
      if (failures >= ATTEMPTS) {
        throw new HubError(`${error.message} ${ATTEMPTS} attempts in a row got nowhere.`, {
          cause: error,
          ...(error.status === undefined ? {} : { status: error.status }),
        });
      }
      await wait(error.retryAfterMs ?? backoffMs(failures, Math.random()), signal);
    }
  }
}

/** @param random 0 to 1: spreads clients that were cut off together over half of the delay */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), LONGEST_DELAY_MS);
  return full * (0.5 + random / 2);
}

/** Milliseconds that a `Retry-After` asks for: seconds or a date (RFC 9110, section 10.2.3). */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS);
}

export async function waitForClock(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
}
