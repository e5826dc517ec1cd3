/** The mix in an open loop: latencies from the time that each request was due, failures by kind, and the loop's own lag. */
import type { SignAs } from './callers.ts';
import { watchEventLoop } from './event-loop.ts';
import { exchange } from './exchange.ts';
import { Latencies, type Percentiles } from './latencies.ts';
import { drawKind, type Kind, type Material, MIX, requestOf } from './mix.ts';
import { type Arrivals, type Clock, dueTimes, openLoop, systemClock } from './open-loop.ts';
import { type Outcome, Tally } from './tally.ts';

/** Whom the load is for, and what it is made of. */
export type Load = {
  url: string;
  material: Material;
  signAs: SignAs;
  clock?: Clock;
};

export type MixOptions = {
  /** Requests a second. */
  rate: number;
  seconds: number;
  arrivals: Arrivals;
  onProgress?: (progress: Progress) => void;
};
type Progress = { sent: number; ended: number; failed: number };

export type MixReport = {
  offeredPerSecond: number;
  /** Replies that went well, over the time until the last one had ended. */
  achievedPerSecond: number;
  sent: number;
  failed: number;
  all: Percentiles;
  /** By how much each request was sent late: where this is not small, the latencies are the generator's too. */
  lag: Percentiles;
  /** By how much the generator's event loop was late, every 10 ms: what it read late looks like the service's time. */
  eventLoop: Percentiles;
  kinds: (Outcome & { kind: Kind })[];
};

/** How many people the mix comes from. */
const CALLERS = 50;

export async function measureMix(
  { url, material, signAs, clock = systemClock }: Load,
  { rate, seconds, arrivals, onProgress = () => {} }: MixOptions,
): Promise<MixReport> {
  const { random } = material;
  const tallies = new Map((Object.keys(MIX) as Kind[]).map((kind) => [kind, new Tally()]));
  const [all, lag] = [new Latencies(), new Latencies()];
  const progress = { sent: 0, ended: 0, failed: 0 };
  const send = async (dueAt: number) => {
    const kind = drawKind(random);
    const caller = Math.floor(CALLERS * random());
    progress.sent++;
    const request = signAs(await requestOf(kind, material), caller);
    lag.record(clock.now() - dueAt);
    const result = await exchange(url, request, clock);
    tallies.get(kind)?.count(result, dueAt);
    progress.ended++;
    if (result.failure === null) all.record(result.endAt - dueAt);
    else progress.failed++;
    onProgress(progress);
  };
  const eventLoop = watchEventLoop();
  const start = clock.now();
  const due = dueTimes(arrivals, { rate, durationMs: 1000 * seconds, random });
  await openLoop({ due, clock, send });
  const tookSeconds = (clock.now() - start) / 1000;
  return {
    offeredPerSecond: progress.sent / seconds,
    achievedPerSecond: (progress.sent - progress.failed) / tookSeconds,
    sent: progress.sent,
    failed: progress.failed,
    all: all.percentiles(),
    lag: lag.percentiles(),
    eventLoop: eventLoop.stop(),
    kinds: [...tallies].map(([kind, tally]) => ({ kind, ...tally.outcome() })),
  };
}
