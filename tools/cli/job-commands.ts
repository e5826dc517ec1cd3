/** `blip2 jobs …`, but for their creation. */
import { Job, JobDeleted, JobDeliveryList, JobList } from '@blip2/shared/schemas/jobs/job';
import type { Api } from './api.ts';
import { type Command, command, print, say } from './command.ts';
import { download, downloadFile, written } from './download.ts';
import { CliError, EXIT } from './failure.ts';
import { onInterrupt } from './interrupt.ts';
import { CANCEL, DELETE, LIST, RESULTS, RETRY, STATUS, WATCH_JOB } from './programs.ts';
import { jobTable } from './table.ts';
import { WarningCount, warningsOfJob } from './warnings.ts';
import { describeDelivery, isWhole, summaryOf, watchJob } from './watch.ts';

export const listJobs: Command = command(LIST, async (api, { limit, json }) => {
  const jobs: Job[] = [];
  for (let after = ''; jobs.length < limit; ) {
    const query = new URLSearchParams({ limit: String(Math.min(limit - jobs.length, 100)) });
    if (after !== '') query.set('after', after);
    const { data, has_more, last_id } = await api.json(JobList, `/v1/jobs?${query}`);
    jobs.push(...data);
    if (!has_more || last_id === null) break;
    after = last_id;
  }
  if (json) for (const job of jobs) await print(JSON.stringify(job));
  else await print(jobTable(jobs));
  return 0;
});

export const statusOfJobs: Command = command(STATUS, async (api, { json }, ids) => {
  for (const id of needed(ids)) {
    const path = `/v1/jobs/${encodeURIComponent(id)}`;
    const job = await api.json(Job, path);
    const deliveries =
      job.webhook === null ? [] : (await api.json(JobDeliveryList, `${path}/deliveries`)).data;
    const lines = [summaryOf(job), ...deliveries.map(describeDelivery)];
    await print(json ? JSON.stringify({ ...job, deliveries }) : lines.join('\n'));
  }
  return 0;
});

export const watchJobs: Command = command(
  WATCH_JOB,
  async (api, { json }, ids) => await watch(api, needed(ids), { json }),
);

export const readResults: Command = command(
  RESULTS,
  async (api, { format, status, output }, ids) => {
    const [id = ''] = needed(ids);
    const query = new URLSearchParams({ format: format === 'csv' ? 'csv' : 'ndjson', status });
    const path = `/v1/jobs/${encodeURIComponent(id)}/results?${query}`;
    onInterrupt(output === undefined ? '' : 'The same command goes on where it was.');
    const warnings = new WarningCount(format);
    const onBytes = (bytes: Uint8Array) => warnings.see(bytes);
    if (output === undefined) {
      const write = (bytes: Uint8Array) => {
        onBytes(bytes);
        return written(process.stdout, bytes);
      };
      await download(api, path, { have: 0, write, onWait: say });
    } else {
      // Half of what another job has is not gone on with.
      const partial = `${output}.${encodeURIComponent(id)}.${status}.${format}.partial`;
      await downloadFile(api, path, { output, partial, onWait: say, onBytes });
    }
    tell(warnings.words());
    return 0;
  },
);

export const cancelJobs: Command = command(CANCEL, async (api, { json }, ids) => {
  for (const id of needed(ids)) {
    const path = `/v1/jobs/${encodeURIComponent(id)}`;
    const job = await api.json(Job, path, { method: 'DELETE' });
    await print(json ? JSON.stringify(job) : summaryOf(job));
  }
  return 0;
});

export const deleteJobs: Command = command(DELETE, async (api, { json }, ids) => {
  for (const id of needed(ids)) {
    const path = `/v1/jobs/${encodeURIComponent(id)}?purge=true`;
    const deleted = await api.json(JobDeleted, path, { method: 'DELETE' }).catch((error) => {
      if (!(error instanceof CliError && error.slug === 'job-not-ready')) throw error;
      const remedy = `Cancel it first (blip2 jobs cancel ${id}), or wait for its end (blip2 jobs watch ${id}).`;
      throw new CliError(`${id} has not ended, and is not deleted.\n${remedy}`, error.exitCode);
    });
    await print(json ? JSON.stringify(deleted) : `${id} deleted`);
  }
  return 0;
});

export const retryJob: Command = command(RETRY, async (api, config, ids) => {
  const { webhook, noWebhook, watch: isWatched, json } = config;
  const [id = ''] = needed(ids);
  if (webhook !== undefined && noWebhook) {
    throw new CliError('--webhook and --no-webhook: give one of the two.');
  }
  const change = noWebhook ? { webhook: null } : { webhook: webhook && { url: webhook } };
  const path = `/v1/jobs/${encodeURIComponent(id)}/retry-failed`;
  const headers = {
    'content-type': 'application/json',
    'idempotency-key': crypto.randomUUID(),
  };
  const body = JSON.stringify(change);
  const job = await api.json(Job, path, { method: 'POST', headers, body });
  await print(json ? JSON.stringify(job) : job.id);
  if (!json) sayWebhookSecret(job);
  return isWatched ? await watch(api, [job.id]) : 0;
});

/** The secret that was made for a webhook: the service shows it in this one reply. */
export function sayWebhookSecret({ id, webhook }: Job): void {
  const secret = webhook?.secret;
  if (secret !== undefined)
    say(`${id}: events are signed with ${secret}, which is shown this once`);
}

/** Watches jobs, one after the other. @returns 1 where one of them has not done all */
export async function watch(
  api: Api,
  ids: readonly string[],
  { json = false } = {},
): Promise<number> {
  onInterrupt(
    `The service goes on without this command. To go on here: blip2 jobs watch ${ids.join(' ')}`,
  );
  let exitCode = 0;
  for (const id of ids) {
    const job = await watchJob(api, id);
    if (json) await print(JSON.stringify(job));
    else say(summaryOf(job));
    tell(await warningsOfJob(api, job));
    if (!isWhole(job)) exitCode = EXIT.failedItems;
  }
  return exitCode;
}

function tell(line: string | undefined): void {
  if (line !== undefined) say(line);
}

function needed(ids: readonly string[]): readonly string[] {
  if (ids.length === 0)
    throw new CliError('It needs the id of a job: blip2 jobs list prints them.');
  return ids;
}
