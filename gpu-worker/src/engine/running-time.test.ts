import { describe, expect, it } from 'vitest';
import { RunningTime, type TurnWaits, turnWaits } from './running-time.ts';

/** A stopwatch that is looked at by hand. */
function stopwatch() {
  let now = 0;
  let waits: TurnWaits = new Map([['engine', 500]]);
  const time = new RunningTime({ now: () => now, turnWaits: () => waits, lookMs: 2 ** 30 / 1000 });
  const pass = (ms: number, waited: Record<string, number> = {}) => {
    now += ms;
    waits = new Map([['engine', 500], ...Object.entries(waited)]);
    time.look();
  };
  return { time, pass };
}

describe('time in which this process runs', () => {
  it('counts, by the clock', () => {
    const { time, pass } = stopwatch();
    pass(700);
    pass(300);
    expect(time.milliseconds).toBe(1000);
    time[Symbol.dispose]();
  });

  it('is not that in which a thread waited for its turn', () => {
    const { time, pass } = stopwatch();
    pass(0);
    pass(1000, { engine: 1400, other: 40 });
    expect(time.milliseconds).toBe(100);
    pass(1000, { engine: 1400, other: 45 });
    expect(time.milliseconds).toBe(1095);
    // Counted for a thread in several moments, it may be more than has passed.
    pass(10, { engine: 1500 });
    expect(time.milliseconds).toBe(1095);
    time[Symbol.dispose]();
  });

  it('is not that in which it was suspended, before and after it is looked at', () => {
    let now = 0;
    const time = new RunningTime({ now: () => now, turnWaits: () => new Map(), lookMs: 1000 });
    now = 3_600_000;
    expect(time.milliseconds).toBe(2000);
    time.look();
    expect(time.milliseconds).toBe(2000);
    now += 500;
    expect(time.milliseconds).toBe(2500);
    time[Symbol.dispose]();
  });

  it.runIf(process.platform === 'linux')('is told by the system for each thread', () => {
    const waits = turnWaits();
    expect(waits.get(String(process.pid))).toBeGreaterThanOrEqual(0);
    expect(waits.size).toBeGreaterThan(1);
  });
});
