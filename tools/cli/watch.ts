/** Watching a job, or a batch, to its end: a bar with the rate and the time left. */
import { setTimeout as delay } from 'node:timers/promises';
import { progressBar } from '@blip2/gpu-worker/cli/progress-bar';
import { formatSeconds } from '@blip2/gpu-worker/hub/progress';
import { Problem } from '@blip2/shared/errors';
import { Job, type JobDeliveryList } from '@blip2/shared/schemas/jobs/job';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { Api } from './api.ts';
import { CliError, EXIT, wordsOf } from './failure.ts';
import { visible } from './terminal.ts';

/** The states from which nothing follows. */
export const ENDED: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled', 'expired']);

/** Between two looks where the connection of events broke. */
const LOOK_MS = 1000;

/** @returns the job when it has ended. @throws CliError where it cannot be watched any longer */
export async function watchJob(api: Api, id: string): Promise<Job> {
  using bar = progressBar(visible(id, process.stderr));
  for (;;) {
    try {
      for await (const job of changesOf(api, id)) {
        if (ENDED.has(job.status)) return job;
        draw(bar, job);
      }
    } catch (error) {
      if (error instanceof CliError) throw error;
      // The connection broke: the job does not mind.
    }
    await delay(LOOK_MS);
  }
}

async function* changesOf(api: Api, id: string): AsyncGenerator<Job, void, undefined> {
  const reply = await api.request(`/v1/jobs/${encodeURIComponent(id)}/events`);
  if (reply.body === null) return;
  const events = reply.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { event, data } of events) {
    yield jobOf(event, data);
  }
}

/** @throws CliError where the event is an error, or none of the service: another look would find the same */
function jobOf(event: string | undefined, data: string): Job {
  const value = parsed(data);
  if (event === 'error') {
    const problem = Problem.safeParse(value);
    if (problem.success) throw new CliError(wordsOf(problem.data), EXIT.refused);
  }
  const job = Job.safeParse(value);
  if (job.success) return job.data;
  const what =
    'An event of the job is not what this client knows: is it the service, of the same version?';
  throw new CliError(what, EXIT.refused);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What a bar shows of a job. */
export type Progress = {
  total: number;
  completed: number;
  failed: number;
  canceled?: number;
  perSecond?: number | null;
  secondsLeft?: number | null;
};

function draw(bar: ReturnType<typeof progressBar>, job: Job): void {
  const { items, rate_per_second: perSecond, seconds_left: secondsLeft } = job;
  drawProgress(bar, { ...items, perSecond, secondsLeft });
}

export function drawProgress(bar: ReturnType<typeof progressBar>, progress: Progress): void {
  const { total, completed, failed, canceled = 0, perSecond, secondsLeft } = progress;
  // While lines are read, nobody knows how many there are.
  if (total === 0) return;
  const done = completed + failed + canceled;
  const parts = [
    `${done} of ${total}`,
    failed > 0 && `${failed} failed`,
    canceled > 0 && `${canceled} not run`,
    perSecond && `${Number(perSecond.toPrecision(3))}/s`,
    typeof secondsLeft === 'number' && done < total && `${formatSeconds(secondsLeft)} left`,
  ];
  bar.draw({ done, total, label: parts.filter(Boolean).join(', ') });
}

/** How far a job is, or how it ended, in a few lines. */
export function summaryOf(job: Job): string {
  const { id, status, items, errors, rate_per_second: perSecond, seconds_left: left } = job;
  const isRunning = !ENDED.has(status);
  const counts = [
    `${items.completed} of ${items.total} completed`,
    items.failed > 0 && `${items.failed} failed`,
    items.canceled > 0 && `${items.canceled} not run`,
    isRunning && perSecond && `${Number(perSecond.toPrecision(3))}/s`,
    isRunning && left !== null && `${formatSeconds(left)} left`,
  ];
  const lines = errors.map(({ line, message }) =>
    line === null ? message : `line ${line}: ${message}`,
  );
  const about =
    status === 'failed' && lines.length > 0 ? 'nothing was run' : counts.filter(Boolean).join(', ');
  return [`${id} ${status}: ${about}`, ...lines].join('\n');
}

/** One try to tell a webhook. @example 'webhook: job.completed at 2026-11-27T19:00:00.000Z, try 1: 503 Tried again at …' */
export function describeDelivery(delivery: JobDeliveryList['data'][number]): string {
  const { type, attempt, at, status, error, next_attempt_at: next } = delivery;
  const outcome = [status, error].filter((part) => part !== null).join(': ');
  const again = next === null ? '' : ` Tried again at ${timeOf(next)}.`;
  return `webhook: ${type} at ${timeOf(at)}, try ${attempt}: ${outcome}${again}`;
}

function timeOf(seconds: number): string {
  return new Date(1000 * seconds).toISOString();
}

/** Whether all that a job should do is done. */
export function isWhole({ status, items }: Job): boolean {
  return status === 'completed' && items.failed + items.canceled === 0;
}
