/** Commits what came back from the queue too often as given up, so that every item of a job has a result. */
import { setTimeout as pause } from 'node:timers/promises';
import type { JobMeter } from '../job-metrics.ts';
import type { Logger } from '../logger.ts';
import { Committer } from './committer.ts';
import type { EdgeClient } from './edge-client.ts';
import { itemOf } from './message.ts';
import { MAX_BATCH, type Queue } from './queue.ts';
import { backoffMs, type Timing } from './timing.ts';

export type DeadLetterOptions = {
  edge: EdgeClient;
  queue: Queue;
  fingerprint: string | undefined;
  timing: Timing;
  log: Logger;
  meter: JobMeter;
};

export class DeadLetters {
  readonly #options: DeadLetterOptions;
  readonly #committer: Committer;
  readonly #stopping = new AbortController();
  readonly #loop: Promise<void>;

  /** Begins at once. */
  constructor(options: DeadLetterOptions) {
    this.#options = options;
    this.#committer = new Committer({
      ...options,
      onCanceled: () => {},
      onEnded: () => {},
      onLeft: () => {},
    });
    this.#loop = this.#receiveAll();
  }

  /** What is not committed yet goes to other workers. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#committer.stop();
    await this.#loop;
  }

  async #receiveAll(): Promise<void> {
    const { timing, log } = this.#options;
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#receive(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        log.warn('not-received', { error, failures: ++failures });
        await pause(backoffMs(timing, failures), undefined, { signal }).catch(() => {});
      }
    }
  }

  async #receive(signal: AbortSignal): Promise<void> {
    const { queue, log, meter } = this.#options;
    const messages = await queue.receive(MAX_BATCH, { mayWait: true, signal });
    meter.received(messages.length, 'dead-letters');
    for (const received of messages) {
      const item = itemOf(received, log);
      const { receives } = received;
      // Nobody could ever commit it.
      if (item === null) {
        await queue.delete([received]);
        continue;
      }
      meter.ended('gave-up');
      this.#committer.add({ ...item, outcome: { kind: 'gave-up', receives }, seconds: 0 });
    }
    await this.#committer.flush();
  }
}
