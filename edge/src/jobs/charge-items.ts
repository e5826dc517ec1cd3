/** What a job counts for whoever sent it: its items, before any of them runs, and their tokens, as they end. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../dependencies.ts';
import type { JobOrder, JobUsage, LineError } from './contract.ts';

type Job = { job: string; waitUntil: (work: Promise<unknown>) => void };

/**
 * Takes an image of the day for each item, whatever it turns out to need: what a job costs is known before it runs, and
 * nothing stops in its middle. Tokens a minute are not counted, since items wait for everybody else.
 * @returns why the job cannot run, where its sender has fewer images left
 * @throws ApiError `limits-unavailable`: another try may be answered
 */
export async function chargeItems(
  { limiter, now }: Pick<Dependencies, 'limiter' | 'now'>,
  { sender }: Pick<JobOrder, 'sender'>,
  { job, items, waitUntil }: Job & { items: number },
): Promise<LineError | null> {
  const account = limiter.open({ ...sender, requestId: `job_${job}`, waitUntil });
  try {
    const charge = await account?.charge({ tokens: 0, images: items }, now());
    charge?.settle({ prompt_tokens: 0, completion_tokens: 0, images: items });
    return null;
  } catch (thrown) {
    if (!(thrown instanceof ApiError) || thrown.slug !== 'quota-exceeded') throw thrown;
    const message = `Its ${items} items count as images of a day. ${thrown.message}`;
    return { line: null, code: 'quota-exceeded', message, param: null };
  }
}

/** Writes tokens of items down in the use of their sender's day. Nobody waits for it, and it never fails. */
export function noteTokens(
  { limiter }: Pick<Dependencies, 'limiter'>,
  { sender }: Pick<JobOrder, 'sender'>,
  tokens: JobUsage,
  { job, waitUntil }: Job,
): void {
  const account = limiter.open({ ...sender, requestId: `job_${job}`, waitUntil });
  account?.note({ ...tokens, images: 0 });
}
