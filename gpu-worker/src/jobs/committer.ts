/** Commits results, those of a part together, and deletes their messages once the edge has them. */
import { setTimeout as pause } from 'node:timers/promises';
import { type ItemOutcome, MAX_COMMIT } from '@blip2/shared/jobs/commit';
import type { JobMeter } from '../job-metrics.ts';
import type { Logger } from '../logger.ts';
import type { Committed, EdgeClient, Part } from './edge-client.ts';
import type { Item } from './message.ts';
import type { Queue } from './queue.ts';
import { backoffMs, type Timing } from './timing.ts';

/** Of one commit, so that it stays far below what the edge reads. */
const MAX_CHARACTERS = 8 * 2 ** 20;

export type Result = Item & {
  outcome: ItemOutcome;
  /** That the engine spent on it. */
  seconds: number;
};

type Batch = { part: Part; results: Result[]; characters: number; timer: NodeJS.Timeout };

export type CommitterOptions = {
  edge: EdgeClient;
  queue: Queue;
  /** Of the worker. */
  fingerprint: string | undefined;
  timing: Timing;
  log: Logger;
  meter: Pick<JobMeter, 'committed'>;
  /** Called when nothing more of a job needs to be run. */
  onCanceled: (job: string) => void;
  /** Called when nothing more of a part needs to be run: all of its items have ended, or it is deleted. */
  onEnded: (part: Part) => void;
  /** Called when the consumer has nothing more to do with a message. */
  onLeft: (result: Result) => void;
};

export class Committer {
  readonly #options: CommitterOptions;
  readonly #open = new Map<string, Batch>();
  readonly #sending = new Set<Promise<void>>();
  readonly #stopped = new AbortController();

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** Sends the result soon, again and again until the edge has answered. */
  add(result: Result): void {
    const { job, part } = result.message;
    const key = `${job}/${part}`;
    const characters = charactersOf(result);
    const full = this.#open.get(key);
    if (full !== undefined && full.characters + characters > MAX_CHARACTERS) this.#close(key);
    const batch = this.#open.get(key) ?? this.#begin(key, { job, part });
    batch.results.push(result);
    batch.characters += characters;
    if (batch.results.length === MAX_COMMIT) this.#close(key);
  }

  /** Sends what waits, and resolves once the edge has answered for all of it. */
  async flush(): Promise<void> {
    for (const key of [...this.#open.keys()]) this.#close(key);
    while (this.#sending.size > 0) await Promise.all(this.#sending);
  }

  /** Ends what is under way: messages of what could not be committed go to other workers. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.flush();
  }

  #begin(key: string, part: Part): Batch {
    const timer = setTimeout(() => this.#close(key), this.#options.timing.commitMs);
    const batch: Batch = { part, results: [], characters: 0, timer };
    this.#open.set(key, batch);
    return batch;
  }

  #close(key: string): void {
    const batch = this.#open.get(key);
    if (batch === undefined) return;
    clearTimeout(batch.timer);
    this.#open.delete(key);
    const sending = this.#send(batch.part, batch.results).finally(() => {
      this.#sending.delete(sending);
    });
    this.#sending.add(sending);
  }

  async #send(part: Part, results: readonly Result[]): Promise<void> {
    const { queue, log, onCanceled, onEnded, onLeft, timing } = this.#options;
    const committed = await this.#commit(part, results);
    if (committed?.kind === 'refused' && results.length > 1) {
      // One of them is to blame, and the others are not to suffer for it.
      for (const result of results) await this.#send(part, [result]);
      return;
    }
    const messages = results.map(({ received }) => received);
    if (committed === null) await queue.hide(messages, 0);
    else if (committed.kind === 'refused') {
      log.error('commit-refused', { ...part, status: committed.status });
      await queue.hide(messages, timing.againS);
    } else await queue.delete(messages);
    if (committed?.kind === 'taken' && committed.reply.state === 'canceled') onCanceled(part.job);
    const isOver = committed?.kind === 'taken' && committed.reply.state === 'ended';
    if (isOver || committed?.kind === 'gone') onEnded(part);
    for (const result of results) onLeft(result);
  }

  /** Null when the worker is stopped before the edge has answered. */
  async #commit(
    part: Part,
    results: readonly Result[],
  ): Promise<Exclude<Committed, { kind: 'failed' }> | null> {
    const { edge, fingerprint, timing, log, meter } = this.#options;
    const request = {
      results: results.map(({ message, outcome }) => ({ item: message.item, outcome })),
      seconds: results.reduce((sum, { seconds }) => sum + seconds, 0),
      ...(fingerprint !== undefined && { worker: fingerprint }),
    };
    for (let failures = 1; ; failures++) {
      const { signal } = this.#stopped;
      let why: Record<string, unknown>;
      try {
        const committed = await edge.commit(part, request, signal);
        if (committed.kind !== 'failed') {
          const reply = committed.kind === 'taken' ? committed.reply : undefined;
          meter.committed(committed.kind, reply);
          return committed;
        }
        why = { status: committed.status };
      } catch (error) {
        why = { error };
      }
      if (signal.aborted) return null;
      meter.committed('failed');
      log.warn('not-committed', { ...part, items: results.length, failures, ...why });
      await pause(backoffMs(timing, failures), undefined, { signal }).catch(() => {});
    }
  }
}

function charactersOf({ outcome }: Result): number {
  return outcome.kind === 'frames' ? outcome.frames.length + 200 : 1000;
}
