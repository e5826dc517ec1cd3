/** Metrics of the items of jobs: what came from the queue, how it ended, and what the edge said of it. */
import { Counter, Gauge, type OpenMetricsContentType, type Registry } from 'prom-client';

/** How an item that was received has ended here: `over` where nobody wants its result any more. */
export type ItemEnd = 'done' | 'failed' | 'gave-up' | 'again' | 'over';

export type CommitEnd = 'taken' | 'gone' | 'refused' | 'failed';

/** Told by what runs items. */
export type JobMeter = {
  received: (count: number, queue: 'items' | 'dead-letters') => void;
  ended: (how: ItemEnd) => void;
  /** One try to commit; of those that were taken, how many results were the first of their item. */
  committed: (how: CommitEnd, results?: { fresh: number; duplicates: number }) => void;
  /** Messages that are this worker's now. */
  inHand: (count: number) => void;
};

export function measureJobs(registry: Registry<OpenMetricsContentType>): JobMeter {
  const registers = [registry];
  const counter = (name: string, help: string, label: string) =>
    new Counter({ name, help, labelNames: [label], registers });
  const messages = counter(
    'blip2_job_messages_received_total',
    'Messages of jobs that were received, by queue: items or dead-letters; one that comes back counts again',
    'queue',
  );
  const items = counter(
    'blip2_job_items_total',
    'Items of jobs that ended here, by outcome: done, failed, gave-up (of the dead-letter queue), again (worth another try, later), or over (canceled, expired or ended elsewhere)',
    'outcome',
  );
  const commits = counter(
    'blip2_job_commits_total',
    'Tries to commit results, by what came of it: taken, gone (of a job that is deleted), refused, or failed, after which the same is tried again',
    'outcome',
  );
  const results = counter(
    'blip2_job_results_total',
    'Results that the edge has taken: fresh, or duplicate, of an item that had one',
    'result',
  );
  const held = new Gauge({
    name: 'blip2_job_messages_held',
    help: 'Messages of jobs in hand: their items run, or their results wait for the edge',
    registers,
  });
  return {
    received: (count, queue) => messages.inc({ queue }, count),
    ended: (outcome) => items.inc({ outcome }),
    committed: (outcome, taken) => {
      commits.inc({ outcome });
      if (taken === undefined) return;
      results.inc({ result: 'fresh' }, taken.fresh);
      results.inc({ result: 'duplicate' }, taken.duplicates);
    },
    inHand: (count) => held.set(count),
  };
}
