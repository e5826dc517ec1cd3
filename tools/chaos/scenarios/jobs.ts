/** Jobs that run while a part of the service is killed: every item ends, once, with the right text. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { childOf, runs } from '../../child-processes.ts';
import { type Stack, startStack } from '../../local-stack.ts';
import { knownScenes, withComment } from '../known.ts';
import type { TrialScenario } from '../scenario.ts';

const ITEMS = 48;
/** A message of a worker that was killed comes back after 45 seconds, more than once where it has bad luck. */
const JOB_MS = 240_000;

type Job = {
  status: string;
  items: Record<'total' | 'completed' | 'failed' | 'canceled', number>;
};
type Line = { id: string; status: number; result: { caption?: string } | null };

function jobWhile(
  name: string,
  about: string,
  breakIt: (stack: Stack) => Promise<void>,
): TrialScenario {
  return {
    kind: 'trial',
    name,
    about: `${about}, amid a job of ${ITEMS} items`,
    run: async ({ random, tally, report }) => {
      const persist = await mkdtemp(join(tmpdir(), 'chaos-'));
      await using started = new AsyncDisposableStack();
      started.defer(() => rm(persist, { recursive: true, force: true }));
      const stack = await startStack({
        jobs: true,
        persist,
        logLevel: 'none',
        onEvent: report,
        workerEnv: { BLIP2_LOG_LEVEL: 'silent' },
      });
      started.defer(() => stack.stop());
      const scenes = await knownScenes(stack.url);
      const captions = new Map<string, string>();
      const items = Array.from({ length: ITEMS }, (_, i) => {
        const { png, caption } = random.pick(scenes);
        captions.set(String(i), caption);
        const data = withComment(png, random).toString('base64');
        return { id: String(i), image: `data:image/png;base64,${data}` };
      });
      const created = await fetch(`${stack.url}/v1/jobs?task=caption`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: items.map((item) => JSON.stringify(item)).join('\n'),
      });
      if (created.status !== 202) throw new Error(await created.text());
      const url = `${stack.url}/v1/jobs/${((await created.json()) as { id: string }).id}`;
      // Some have ended, and others run.
      await until(url, ({ items: { completed } }) => completed > 0);
      const start = performance.now();
      await breakIt(stack);
      const job = await until(url, ({ status }) => status === 'completed');
      const recoverySeconds = (performance.now() - start) / 1000;
      const text = await (await fetch(`${url}/results`)).text();
      const lines = text.split('\n').filter(Boolean);
      const counts = new Map<string, number>();
      for (const line of lines.map((one) => JSON.parse(one) as Line)) {
        const { id, status, result } = line;
        counts.set(id, (counts.get(id) ?? 0) + 1);
        const isWrong = status === 200 && result?.caption !== captions.get(id);
        tally.add({ label: `line ${status}`, isLost: status !== 200, isWrong });
      }
      for (const id of captions.keys()) {
        const count = counts.get(id) ?? 0;
        if (count !== 1) tally.add({ label: `${count} lines`, isLost: true, isWrong: false });
      }
      const { total, completed } = job.items;
      if (total !== ITEMS || completed !== ITEMS || lines.length !== ITEMS) {
        const detail = `${lines.length} lines, ${JSON.stringify(job.items)}`;
        tally.add({ label: 'counts that differ', isLost: true, isWrong: false, detail });
      }
      return { recoverySeconds, stuck: 0 };
    },
  };
}

/** The job once it is so; the edge may be away meanwhile. @throws Error when it never is */
async function until(url: string, isSo: (job: Job) => boolean): Promise<Job> {
  const deadline = performance.now() + JOB_MS;
  let last: Job | null = null;
  while (performance.now() < deadline) {
    const response = await fetch(url).catch(() => null);
    const job = response?.ok ? ((await response.json().catch(() => null)) as Job | null) : null;
    if (job !== null && isSo(job)) return job;
    last = job ?? last;
    await delay(50);
  }
  throw new Error(`the job is ${JSON.stringify(last)} after ${JOB_MS / 1000} s`);
}

export const JOB_SCENARIOS: readonly TrialScenario[] = [
  jobWhile('job-worker-killed', 'SIGKILL of the GPU worker', async ({ worker }) => {
    process.kill(worker.pid ?? 0, 'SIGKILL');
  }),
  jobWhile('job-edge-killed', 'SIGKILL of workerd', async () => {
    const edge = await childOf(process.pid, 'workerd\0serve');
    process.kill(edge, 'SIGKILL');
    while (await runs(edge)) await delay(5);
  }),
  jobWhile('job-queue-restarted', 'the queue server ends, and starts again', async (stack) => {
    await stack.queue?.restart();
  }),
];
