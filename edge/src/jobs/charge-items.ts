/** What a job counts for whoever sent it: its items, before any of them runs, and their tokens, as they end. */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../dependencies.ts';
import type { JobOrder, LineError } from './contract.ts';
import type { JobTable } from './job-table.ts';

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
    return refusalOf(thrown, `Its ${items} items count as images of a day.`);
  }
}

/**
 * Whether there are images of the day for the items that are known so far; none is taken.
 * @returns why the job cannot run
 * @throws ApiError `limits-unavailable`: another try may be answered
 */
export async function expectItems(
  { limiter }: Pick<Dependencies, 'limiter'>,
  { sender }: Pick<JobOrder, 'sender'>,
  { job, items, waitUntil }: Job & { items: number },
): Promise<LineError | null> {
  const account = limiter.open({ ...sender, requestId: `job_${job}`, waitUntil });
  try {
    if (account?.limitsImages) await account.check({ tokens: 0, images: items });
    return null;
  } catch (thrown) {
    return refusalOf(thrown, `Its items, ${items} at least, count as images of a day.`);
  }
}

function refusalOf(thrown: unknown, why: string): LineError {
  if (!(thrown instanceof ApiError) || thrown.slug !== 'quota-exceeded') throw thrown;
  const message = `${why} ${thrown.message}`;
  return { line: null, code: 'quota-exceeded', message, param: null };
}

/**
 * Writes down in the use of its sender's day what items have used since the last time. Nobody waits for it, and it never fails;
 * once it is stored that it was written down, it is never written again.
 */
export function noteTokens(
  { limiter }: Pick<Dependencies, 'limiter'>,
  table: JobTable,
  waitUntil: Job['waitUntil'],
): void {
  const { record } = table;
  if (record === null) return;
  const { usage } = table.totals();
  const { prompt_tokens = 0, completion_tokens = 0 } = record.noted ?? {};
  const tokens = {
    prompt_tokens: usage.prompt_tokens - prompt_tokens,
    completion_tokens: usage.completion_tokens - completion_tokens,
  };
  if (tokens.prompt_tokens + tokens.completion_tokens === 0) return;
  table.update({ noted: usage });
  const { sender } = record.order;
  const account = limiter.open({ ...sender, requestId: `job_${record.id}`, waitUntil });
  account?.note({ ...tokens, images: 0 });
}
