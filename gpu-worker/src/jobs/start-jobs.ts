/** The consumer of jobs as a value: started with a worker's parts, stopped before them. */
import type { Dependencies } from '../http/dependencies.ts';
import type { JobsConfig } from '../job-options.ts';
import { Consumer } from './consumer.ts';
import { DeadLetters } from './dead-letters.ts';
import { EdgeClient } from './edge-client.ts';
import { createSqsClient, Queue } from './queue.ts';
import { TIMING, type Timing } from './timing.ts';

export type Jobs = {
  /**
   * Takes nothing more from the queues, finishes what runs, and leaves to other workers what takes too long.
   * @param graceMs how long that may take; 20 s where nothing is said
   */
  stop: (graceMs?: number) => Promise<void>;
};

/** @example const jobs = startJobs(config, dependencies); await jobs.stop(); */
export function startJobs(
  config: JobsConfig,
  dependencies: Dependencies,
  timing: Timing = TIMING,
): Jobs {
  const { log, model, metrics } = dependencies;
  const client = createSqsClient(config);
  const edge = new EdgeClient(config, timing);
  const shared = { edge, fingerprint: model.fingerprint, timing, log, meter: metrics.jobs };
  const { visibilityS } = config;
  const queueAt = (url: string) => new Queue(client, url, visibilityS, log);
  const queue = queueAt(config.queueUrl);
  const consumer = new Consumer({ ...shared, dependencies, queue, visibilityS });
  const deadLetters =
    config.deadLetterUrl === undefined
      ? null
      : new DeadLetters({ ...shared, queue: queueAt(config.deadLetterUrl) });
  log.info('jobs', { queue: config.queueUrl, edge: config.edgeUrl });
  return {
    stop: async (graceMs) => {
      await Promise.all([consumer.stop(graceMs), deadLetters?.stop()]);
      client.destroy();
    },
  };
}
