/** What became of requests: latencies from the time that each was due, and failures by reason. */
import type { Exchange } from './exchange.ts';
import { Latencies, type Percentiles } from './latencies.ts';

export type Outcome = {
  sent: number;
  /** Of the requests that went well; null values where none streamed. */
  firstToken: Percentiles;
  reply: Percentiles;
  /** How many failed, by status and type of the problem. */
  failures: Record<string, number>;
};

export class Tally {
  private sent = 0;
  private readonly firstToken = new Latencies();
  private readonly reply = new Latencies();
  private readonly failures = new Map<string, number>();

  /** @param dueAt when the request should have been sent, by the clock of the exchange */
  count({ firstTokenAt, endAt, failure }: Exchange, dueAt: number): void {
    this.sent++;
    if (failure !== null) {
      this.failures.set(failure, (this.failures.get(failure) ?? 0) + 1);
      return;
    }
    this.reply.record(endAt - dueAt);
    if (firstTokenAt !== null) this.firstToken.record(firstTokenAt - dueAt);
  }

  outcome(): Outcome {
    return {
      sent: this.sent,
      firstToken: this.firstToken.percentiles(),
      reply: this.reply.percentiles(),
      failures: Object.fromEntries(this.failures),
    };
  }
}

/** How many of the requests failed, for whatever reason. */
export function failed({ failures }: Pick<Outcome, 'failures'>): number {
  return Object.values(failures).reduce((sum, count) => sum + count, 0);
}
