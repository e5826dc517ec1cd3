/** The open loop on a clock of its own: what a stall costs, who is late, and when requests are due. */

import { describe, expect, it } from 'vitest';
import { Latencies } from './latencies.ts';
import { type Clock, dueTimes, openLoop } from './open-loop.ts';
import { seededRandom } from './random.ts';

/** Time that passes only when everybody waits for it. */
class VirtualClock implements Clock {
  private time = 0;
  private readonly waiting: { at: number; wake: () => void }[] = [];

  now = () => this.time;

  until = (at: number) =>
    new Promise<void>((wake) => {
      this.waiting.push({ at, wake });
    });

  /** What a process does that is busy: time passes, and nobody is woken. */
  block(ms: number): void {
    this.time += ms;
  }

  async run(work: Promise<unknown>): Promise<void> {
    let isDone = false;
    void work.then(() => {
      isDone = true;
    });
    for (;;) {
      await new Promise(setImmediate);
      if (isDone) return;
      this.waiting.sort((a, b) => a.at - b.at);
      const next = this.waiting.shift();
      if (next === undefined) throw new Error('everybody waits for nothing');
      this.time = Math.max(this.time, next.at);
      next.wake();
    }
  }
}

/** Answers one request after another in a millisecond each, except that it stands still from `from` to `to`. */
function stallingServer(clock: Clock, { from, to }: { from: number; to: number }) {
  let freeAt = 0;
  return async () => {
    const begin = Math.max(clock.now(), freeAt);
    const end = begin + 1;
    freeAt = end > from && end <= to ? to + 1 : end;
    await clock.until(freeAt);
  };
}

const random = seededRandom(1);

describe('a server that stands still for a second of ten', () => {
  const due = () => dueTimes('fixed', { rate: 100, durationMs: 10_000, random });
  const stall = { from: 5000, to: 6000 };

  it('costs all who would have come meanwhile', async () => {
    const clock = new VirtualClock();
    const answer = stallingServer(clock, stall);
    const latencies = new Latencies();
    const loop = openLoop({
      due: due(),
      clock,
      send: async (dueAt) => {
        await answer();
        latencies.record(clock.now() - dueAt);
      },
    });
    await clock.run(loop);
    const { count, p50, p90, p99, max } = latencies.percentiles();
    expect(count).toBe(1000);
    // 100 of 1000 were due in that second and waited for what was left of it: the tenth of them most.
    expect(p50).toBeCloseTo(1, 1);
    expect(p90).toBeLessThan(130);
    expect(p99).toBeGreaterThan(880);
    expect(max).toBeGreaterThan(980);
  });

  it('costs one request only where each waits for the one before, as a closed loop measures', async () => {
    const clock = new VirtualClock();
    const answer = stallingServer(clock, stall);
    const latencies = new Latencies();
    const closed = async () => {
      for (const at of due()) {
        await clock.until(at);
        const sentAt = clock.now();
        await answer();
        latencies.record(clock.now() - sentAt);
      }
    };
    await clock.run(closed());
    expect(latencies.percentiles().p99).toBeCloseTo(1, 1);
  });
});

it('a generator that was busy counts its own delay, and sends what it owes', async () => {
  const clock = new VirtualClock();
  const late: number[] = [];
  const loop = openLoop({
    due: [0, 10, 20, 30, 400],
    clock,
    send: async (dueAt) => {
      late.push(clock.now() - dueAt);
      if (late.length === 1) clock.block(300);
    },
  });
  await clock.run(loop);
  expect(late).toEqual([0, 290, 280, 270, 0]);
});

it('all that is under way has ended at the end', async () => {
  const clock = new VirtualClock();
  let ended = 0;
  const send = async (dueAt: number) => {
    await clock.until(dueAt + 5000);
    ended++;
  };
  await clock.run(openLoop({ due: [0, 1, 2], clock, send }));
  expect(ended).toBe(3);
});

describe('due times', () => {
  it('at a fixed rate are at equal intervals', () => {
    expect([...dueTimes('fixed', { rate: 4, durationMs: 1000, random })]).toEqual([
      0, 250, 500, 750,
    ]);
  });

  it('of independent callers keep the rate, have as much spread as mean, and are the same for one seed', () => {
    const draw = () => [
      ...dueTimes('poisson', { rate: 50, durationMs: 400_000, random: seededRandom(7) }),
    ];
    const due = draw();
    expect(draw()).toEqual(due);
    expect(due.length / 400).toBeCloseTo(50, -0.5);
    const gaps = due.slice(1).map((at, i) => at - (due[i] ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(
      gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length,
    );
    expect(deviation / mean).toBeGreaterThan(0.95);
    expect(deviation / mean).toBeLessThan(1.05);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
  });
});
