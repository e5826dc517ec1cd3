/** Reading jobs, and watching how they get on. */
import { ApiError } from '@blip2/shared/errors';
import type { Job, JobList } from '@blip2/shared/schemas/jobs/job';
import { JobQuery } from '@blip2/shared/schemas/jobs/query';
import { listOf } from '../../dialects/openai/files.ts';
import { readQuery } from '../../http/read-query.ts';
import { HEARTBEAT_MS, sseResponse } from '../../http/sse.ts';
import { ENDED, ID_PREFIXES } from '../../jobs/contract.ts';
import { Places } from '../../turns/places.ts';
import { clientThat, isUnnamed } from '../../turns/unnamed.ts';
import { clientIn, type Handler } from '../app-context.ts';
import { storedJson } from '../large-reply.ts';
import { type FoundJob, jobOf, listJobs } from './job-access.ts';
import { shownDeliveries, shownJob } from './present.ts';

const PAGE = 20;

/** How often a job that is watched is asked how it is, milliseconds. */
const WATCH_MS = 1000;
/** Jobs that one client watches at a time, in one instance of the Worker. */
const MAX_WATCHERS = 32;
/** Of all together whom nobody tells apart. */
const MAX_UNNAMED_WATCHERS = 256;
/** How long it is watched at most: a Worker may ask only so often. Clients connect again. */
const LONGEST_WATCH_MS = 3_600_000;

export const readJobs: Handler = async (c, deps) => {
  const { after, limit = PAGE } = readQuery(c.req.url, JobQuery);
  const { entries, hasMore } = await listJobs(c, deps, 'job', { after, limit });
  const jobs = entries.map((snapshot) => shownJob(snapshot));
  const list: JobList = listOf(jobs, hasMore);
  return await storedJson(c, deps, list);
};

export const readJob: Handler = async (c, deps) => {
  const { snapshot } = await jobOf(c, deps, 'job', c.req.param('job_id') ?? '');
  return await storedJson(c, deps, shownJob(snapshot));
};

export const readDeliveries: Handler = async (c, deps) => {
  const shownId = c.req.param('job_id') ?? '';
  // Batches have webhooks, too, and OpenAI's API has nothing for what was sent to them.
  const kind = shownId.startsWith(ID_PREFIXES.batch) ? 'batch' : 'job';
  const { id, job } = await jobOf(c, deps, kind, shownId);
  return await storedJson(c, deps, shownDeliveries(await job.deliveries(id)));
};

export const watchJob: Handler = async (c, deps) => {
  const found = await jobOf(c, deps, 'job', c.req.param('job_id') ?? '');
  const left = new AbortController();
  const events = watched(clientIn(c, deps.config), progressOf(found, left.signal));
  return await sseResponse(events, {
    format: ({ job, isLast }) => ({ event: isLast ? 'done' : 'progress', data: job }),
    formatError: (thrown) => ({ event: 'error', data: ApiError.from(thrown).toProblem() }),
    heartbeatMs: HEARTBEAT_MS,
    onCancel: () => left.abort(),
  });
};

const watchers = new Places(Date.now);

/** @throws ApiError `too-many-requests`, before the first event */
async function* watched<Event>(
  client: string,
  events: AsyncGenerator<Event, void, undefined>,
): AsyncGenerator<Event, void, undefined> {
  const others = watchers.count(client);
  const most = isUnnamed(client) ? MAX_UNNAMED_WATCHERS : MAX_WATCHERS;
  if (others >= most) {
    const detail = `${clientThat(client, 'watches')} ${others} jobs: end one of these streams, or read the job now and then.`;
    throw new ApiError('too-many-requests', detail, { limit: most, retry_after: 1 });
  }
  using _place = watchers.take({ client });
  yield* events;
}

/** The job each time that something of it has changed, and when it has ended. */
async function* progressOf(
  { id, job, snapshot: first }: FoundJob,
  left: AbortSignal,
): AsyncGenerator<{ job: Job; isLast: boolean }, void, undefined> {
  let shown = '';
  const until = Date.now() + LONGEST_WATCH_MS;
  for (let snapshot: typeof first | null = first; snapshot !== null; ) {
    const seen = shownJob(snapshot);
    const isLast = ENDED.has(snapshot.state);
    const text = JSON.stringify(seen);
    if (text !== shown || isLast) yield { job: seen, isLast };
    if (isLast || Date.now() > until) return;
    shown = text;
    await scheduler.wait(WATCH_MS);
    if (left.aborted) return;
    snapshot = await job.snapshot(id);
  }
}
