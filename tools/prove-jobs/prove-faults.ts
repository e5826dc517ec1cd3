/**
 * Everything goes wrong that can: GPU workers are killed, items end whoever runs them, commits fail and their replies are lost,
 * messages come twice, the queue and the edge are started anew in the middle. Then a job is canceled half way.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Random, randomOf } from '../chaos/random.ts';
import { childOf } from '../child-processes.ts';
import type { ExistingServer } from '../existing-job-queue.ts';
import { type Stack, startStack } from '../local-stack.ts';
import { faultsOf } from './check-lines.ts';
import { Crew } from './crew.ts';
import { type Fault, FaultProxy } from './fault-proxy.ts';
import { makeItems } from './items.ts';
import { JobClient, type JobState } from './job-client.ts';
import { isDrained } from './queue-depth.ts';

export type FaultPlan = {
  items: number;
  /** Items that end whoever runs them. */
  poison: number;
  /** Workers that are killed, at moments spread over the job. */
  kills: number;
  /** After how many receives an item is given up. */
  maxReceives: number;
  /** For how long what a killed worker had is lost to others. */
  visibilityS: number;
  seed: number;
  timeoutMs: number;
  report: (line: string) => void;
  /** A server of SQS that runs already, and is not started anew in the middle. */
  server?: ExistingServer | null;
};

export type FaultReport = {
  faults: string[];
  rows: [what: string, value: string][];
};

/** Of commits, and of replies to them; of sends to the queue. */
const SHARE = 0.05;
/** Fewer might all have ended before somebody who sees half of them has canceled the rest. */
const FEWEST_TO_CANCEL = 240;
/** Items in the queue at a time: the fewer, the more often the edge sends. */
const WINDOW = 128;
/**
 * Longer than a window waits on a slow machine, as in production: copies of what only waits would double the work, and each copy of
 * the poison is counted anew, so that it ends more workers, for which the rest waits again.
 */
const RESEND_MS = 600_000;

export async function proveFaults(plan: FaultPlan): Promise<FaultReport> {
  const { seed, report, visibilityS, maxReceives } = plan;
  const random = randomOf(seed);
  report('Making images …');
  const first = await makeItems(plan.items, plan.poison, random);
  const second = await makeItems(Math.max(FEWEST_TO_CANCEL, Math.ceil(plan.items / 4)), 0, random);
  const counted = { commits: 0, results: 0, fresh: 0 };
  const faulted: Record<Fault, number> = {
    failed: 0,
    throttled: 0,
    'entries-failed': 0,
    lost: 0,
    twice: 0,
  };
  const persist = await mkdtemp(join(tmpdir(), 'prove-jobs-'));
  await using after = new AsyncDisposableStack();
  after.defer(() => rm(persist, { recursive: true, force: true }));
  const count = (fault: Fault | null) => {
    if (fault !== null) faulted[fault]++;
    return fault;
  };
  const between = async (target: string, options: Parameters<typeof FaultProxy.start>[1]) =>
    after.use(await FaultProxy.start(target, options)).url;
  const started = performance.now();
  const stack = await startStack({
    persist,
    logLevel: 'none',
    onStatus: report,
    vars: { JOBS_WINDOW: String(WINDOW), JOBS_RESEND_MS: String(RESEND_MS) },
    workerEnv: {
      BLIP2_LOG_LEVEL: 'silent',
      BLIP2_JOBS_VISIBILITY_S: String(visibilityS),
      NODE_OPTIONS: `--import ${new URL('poison-hook.ts', import.meta.url).href}`,
      PROOF_POISON: [...first.poison.values()].join(','),
    },
    jobs: {
      server: plan.server ?? null,
      maxReceives,
      toQueue: (url) => between(url, { faultOf: () => count(sendFault(random)) }),
      toEdge: (url) =>
        between(url, {
          faultOf: ({ method }) => (method === 'POST' ? count(commitFault(random)) : null),
          onReply: (path, request, reply) => {
            if (!path.endsWith('/commit')) return;
            counted.commits++;
            counted.results += JSON.parse(request).results?.length ?? 0;
            counted.fresh += (JSON.parse(reply) as { fresh?: number }).fresh ?? 0;
          },
        }),
    },
  });
  after.defer(() => stack.stop());
  const crew = await Crew.start(stack);
  after.defer(() => crew.stop());
  const jobs = new JobClient(stack.url);
  const faults: string[] = [];
  const status = (job: string) => (state: JobState) => report(`${job}: ${progressOf(state)}`);

  const id = await jobs.create('caption', first.lines);
  const moments = momentsOf(plan, random, { stack, crew });
  const state = await jobs.until(id, {
    timeoutMs: plan.timeoutMs,
    onState: (seen) => {
      status('All that can go wrong')(seen);
      const { completed, failed, total } = seen.items;
      const part = total === 0 ? 0 : (completed + failed) / total;
      while (moments[0] !== undefined && part >= moments[0].at) void moments.shift()?.happen();
    },
  });
  const poison = new Map([...first.poison.keys()].map((name) => [name, 'gave-up']));
  const lines = await jobs.results(id);
  faults.push(...faultsOf(state, lines, { ids: first.ids, poison, status: 'completed' }));
  const tookS = (performance.now() - started) / 1000;

  const other = await jobs.create('caption', second.lines);
  const isHalf = ({ items: { completed, total } }: JobState) => total > 0 && completed >= total / 2;
  const watching = { timeoutMs: plan.timeoutMs, onState: status('A job that is canceled') };
  await jobs.until(other, { ...watching, isEnough: isHalf });
  await jobs.cancel(other);
  const canceled = await jobs.until(other, watching);
  const rest = await jobs.results(other);
  const expected = { ids: second.ids, poison: new Map(), status: 'cancelled' };
  faults.push(...faultsOf(canceled, rest, expected).map((fault) => `The canceled job: ${fault}`));
  report('Waiting for the queues to be empty …');
  if (stack.queue !== null && !(await isDrained(stack.queue, plan.timeoutMs))) {
    faults.push('The queue or the dead-letter queue is not empty.');
  }
  const { commits, results, fresh } = counted;
  const { failed, lost, twice } = faulted;
  return {
    faults,
    rows: [
      ['items', said(state)],
      ['items of the canceled job', said(canceled)],
      ['GPU workers that ended', `${crew.deaths}, of which ${plan.kills} were killed`],
      ['commits that failed, replies that were lost', `${failed}, ${lost}`],
      ['sends to the queue that came twice', String(twice)],
      ['results committed, of which were duplicates', `${results}, ${results - fresh}`],
      ['items a commit', (results / Math.max(1, commits)).toFixed(1)],
      ['seconds', tookS.toFixed(0)],
    ],
  };
}

/** What happens at which part of the job: kills, and in its middle both servers are started anew. */
function momentsOf(
  { kills }: FaultPlan,
  random: Random,
  { stack, crew }: { stack: Stack; crew: Crew },
) {
  const deaths = Array.from({ length: kills }, () => {
    const number = random.below(2);
    return { at: 0.02 + 0.9 * random.next(), happen: async () => crew.kill(number) };
  });
  return [
    ...deaths,
    { at: 0.35, happen: async () => await stack.queue?.restart() },
    {
      at: 0.6,
      // Miniflare starts another in its place.
      happen: async () => process.kill(await childOf(process.pid, 'workerd\0serve'), 'SIGKILL'),
    },
  ].sort((a, b) => a.at - b.at);
}

function commitFault(random: Random): Fault | null {
  const drawn = random.next();
  if (drawn < SHARE) return 'failed';
  return drawn < 2 * SHARE ? 'lost' : null;
}

function sendFault(random: Random): Fault | null {
  return random.next() < SHARE ? 'twice' : null;
}

function progressOf({ status, items }: JobState): string {
  const { total, completed, failed, canceled } = items;
  const part = total === 0 ? 0 : Math.floor((100 * (completed + failed + canceled)) / total);
  return `${status}, ${part} %`;
}

function said({ items: { total, completed, failed, canceled } }: JobState): string {
  return `${total} = ${completed} completed + ${failed} failed + ${canceled} canceled`;
}
