/** Simulated queues against what queueing theory says of them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dueTimes } from '../load/open-loop.ts';
import { seededRandom } from '../load/random.ts';
import { EventQueue } from './event-queue.ts';
import { type Cores, Machine, type Thread } from './machine.ts';

type Queue = {
  /** Requests a ms. */
  rate: number;
  /** Service times, ms. */
  service: (random: () => number) => number;
  servers: number;
  cores?: Cores;
  requests?: number;
};

/** One line in front of several servers: the mean time in the system, and the mean number in it. */
function run({ rate, service, servers, cores = null, requests = 200_000 }: Queue) {
  const random = seededRandom(7);
  const events = new EventQueue();
  const machine = new Machine(events, cores);
  const free: Thread[] = Array.from({ length: servers }, () => machine.thread());
  const waiting: number[] = [];
  let [left, spent, inside, area, last] = [0, 0, 0, 0, 0];
  const count = (change: number) => {
    area += inside * (events.now - last);
    last = events.now;
    inside += change;
  };
  const serve = () => {
    const thread = free.pop();
    if (thread === undefined) return;
    const cameAt = waiting.shift();
    if (cameAt === undefined) return void free.push(thread);
    thread.run(service(random), () => {
      free.push(thread);
      left += 1;
      spent += events.now - cameAt;
      count(-1);
      serve();
    });
  };
  const durationMs = requests / rate;
  for (const at of dueTimes('poisson', { rate: 1000 * rate, durationMs, random })) {
    events.at(at, () => {
      count(1);
      waiting.push(events.now);
      serve();
    });
  }
  events.run();
  return { time: spent / left, inSystem: area / events.now, rate: left / events.now };
}

const exponential = (mean: number) => (random: () => number) => -mean * Math.log(1 - random());

describe('a queue', () => {
  it.each([0.3, 0.6, 0.8])('with exponential times is as long as M/M/1 at %d', (load) => {
    const { time } = run({ rate: load, service: exponential(1), servers: 1 });
    expect(time).toBeCloseTo(1 / (1 - load), load < 0.7 ? 1 : 0);
    expect(Math.abs(time * (1 - load) - 1)).toBeLessThan(0.06);
  });

  it.each([0.3, 0.6, 0.8])('with equal times is as long as M/D/1 at %d', (load) => {
    const { time } = run({ rate: load, service: () => 1, servers: 1 });
    const expected = 1 + load / (2 * (1 - load));
    expect(Math.abs(time / expected - 1)).toBeLessThan(0.04);
  });

  it.each([
    [2, 0.5],
    [4, 0.8],
    [16, 0.9],
  ])('of M/M/%d at %d waits as Erlang C says', (servers, load) => {
    const { time } = run({ rate: servers * load, service: exponential(1), servers });
    const wait = erlangC(servers, servers * load) / (servers * (1 - load));
    expect(Math.abs(time / (1 + wait) - 1)).toBeLessThan(0.05);
  });

  it.each([
    [2, 0.7],
    [8, 0.9],
  ])('of M/D/%d at %d waits as Crommelin says', (servers, load) => {
    const { time } = run({ rate: servers * load, service: () => 1, servers });
    expect(Math.abs(time / (1 + crommelin(servers, load)) - 1)).toBeLessThan(0.04);
  });

  it('that shares one core is as long as M/M/1, however many threads there are', () => {
    const { time } = run({ rate: 0.6, service: exponential(1), servers: 500, cores: [1] });
    expect(Math.abs(time / 2.5 - 1)).toBeLessThan(0.06);
  });

  it("keeps Little's law", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 0.95, noNaN: true }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom<Cores>(null, [1], [1, 1.7]),
        (load, servers, cores) => {
          const capacity = cores === null ? servers : Math.min(servers, cores.at(-1)!);
          const queue = { rate: load * capacity, service: exponential(1), servers, cores };
          const { time, inSystem, rate } = run({ ...queue, requests: 2000 });
          expect(inSystem).toBeCloseTo(rate * time, 6);
        },
      ),
      { numRuns: 30 },
    );
  });
});

/** The chance that all servers are busy. */
function erlangC(servers: number, offered: number): number {
  let blocked = 1;
  for (let i = 1; i <= servers; i++) blocked = (offered * blocked) / (i + offered * blocked);
  const load = offered / servers;
  return blocked / (1 - load + load * blocked);
}

/** The mean wait of M/D/c in service times. (C. D. Crommelin, 1932.) */
function crommelin(servers: number, load: number): number {
  let wait = 0;
  for (let i = 1; i < 2000; i++) {
    const mean = i * servers * load;
    // P(Poisson(mean) ≥ i·c) and its successor, from logarithms: factorials are too large.
    const tail = (from: number) => {
      let [sum, j] = [0, from];
      for (let term = 1; term > 1e-17 * (sum || 1e-300) && j < from + 5000; j++) {
        term = Math.exp(-mean + j * Math.log(mean) - logFactorial(j));
        sum += term;
        if (term === 0) break;
      }
      return sum;
    };
    const own = tail(i * servers);
    const next = own - Math.exp(-mean + i * servers * Math.log(mean) - logFactorial(i * servers));
    const part = own - next / load;
    wait += part;
    if (Math.abs(part) < 1e-10) break;
  }
  return wait;
}

const LOG_FACTORIALS = [0];
function logFactorial(n: number): number {
  for (let i = LOG_FACTORIALS.length; i <= n; i++) {
    LOG_FACTORIALS.push(LOG_FACTORIALS[i - 1]! + Math.log(i));
  }
  return LOG_FACTORIALS[n]!;
}
