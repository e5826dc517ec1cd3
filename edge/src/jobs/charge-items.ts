/** Charges the items of a job to whoever sent it, before any of them runs. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../dependencies.ts';
import type { JobOrder, LineError } from './contract.ts';

/**
 * Takes an image of the day for each item, whatever it turns out to need: what a job costs is known before it runs, and
 * nothing stops in its middle. Tokens a minute are not counted, since items wait for everybody else.
 * @returns why the job cannot run, where its sender has fewer images left
 * @throws ApiError `limits-unavailable`: another try may be answered
 */
export async function chargeItems(
  { limiter, now }: Pick<Dependencies, 'limiter' | 'now'>,
  { sender }: Pick<JobOrder, 'sender'>,
  {
    job,
    items,
    waitUntil,
  }: { job: string; items: number; waitUntil: (work: Promise<unknown>) => void },
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
