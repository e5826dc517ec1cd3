/** Says, while something is uploaded, that its place is still needed: a Worker whose client is gone ends without a word. */
import { LONGEST_UPLOAD_MS } from './job-index-contract.ts';

/** A few may be lost before the place is gone. */
export const RENEWAL_MS = 10_000;

/**
 * @param renew asked for all the while; what it throws is asked for again
 * @param work ends by itself where nothing more comes, or where what stores it does not answer
 * @example await withLivingPlace(() => index.renewJob(id), () => store(lines))
 */
export async function withLivingPlace<Result>(
  renew: () => Promise<void>,
  work: () => Promise<Result>,
): Promise<Result> {
  const until = Date.now() + LONGEST_UPLOAD_MS;
  const renewals = setInterval(() => {
    if (Date.now() >= until) clearInterval(renewals);
    else renew().catch(() => {});
  }, RENEWAL_MS);
  try {
    return await work();
  } finally {
    clearInterval(renewals);
  }
}
