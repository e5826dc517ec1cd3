import { expect, test } from 'vitest';
import { ReadingPlaces } from './reading-places.ts';

test('two jobs of one owner read at a time, and those of others beside them', () => {
  const places = new ReadingPlaces();
  const enter = (job: string) => places.enter(job, job.slice(0, 1), 0) === true;
  expect(['a1', 'a2', 'a3', 'b1', 'b2', 'b3'].map(enter)).toEqual([
    ...[true, true, false, true, true, false],
  ]);
  places.leave('a1');
  // Whoever has waited longer comes first.
  expect(['a4', 'a1', 'a3'].map(enter)).toEqual([false, false, true]);
});

test('a job that has read a part comes behind those that wait', () => {
  const places = new ReadingPlaces();
  for (const job of ['1', '2', '3', '4']) places.enter(job, 'a', 0);
  const order: string[] = [];
  let reading = ['1', '2'];
  for (let round = 0; round < 3; round++) {
    for (const job of reading) places.leave(job);
    reading = ['1', '2', '3', '4'].filter((job) => places.enter(job, 'a', round) === true);
    order.push(reading.join());
  }
  expect(order).toEqual(['3,4', '1,2', '3,4']);
});

test('eight jobs read at a time', () => {
  const places = new ReadingPlaces();
  const entered = Array.from({ length: 12 }, (_, i) => places.enter(`${i}`, `owner ${i}`, 0));
  expect(entered.filter((may) => may === true)).toHaveLength(8);
});

test('jobs that are gone take no place', () => {
  const places = new ReadingPlaces();
  for (const job of ['1', '2', '3']) places.enter(job, 'a', 0);
  expect(places.enter('4', 'a', 4000)).not.toBe(true);
  expect(places.enter('4', 'a', 60_000)).toBe(true);
});

test('a job that reads on has its place for as long as it says so', () => {
  const places = new ReadingPlaces();
  for (const job of ['1', '2']) places.enter(job, 'a', 0);
  for (let now = 0; now < 300_000; now += 30_000) {
    places.stay('1', 'a', now);
    places.stay('2', 'a', now);
    expect(places.enter('3', 'a', now + 20_000)).not.toBe(true);
  }
});

/** Jobs that each read so many parts of a second, and come again when they are asked to. @returns when each was done, and how often it came */
function readAll(jobs: readonly { job: string; owner: string; at: number; parts: number }[]) {
  const places = new ReadingPlaces();
  const ended = new Map<string, number>();
  const comes = new Map<string, number>();
  const events: { at: number; run: () => void }[] = [];
  for (const { job, owner, at, parts } of jobs) {
    let left = parts;
    const come = (now: number) => {
      comes.set(job, (comes.get(job) ?? 0) + 1);
      const may = places.enter(job, owner, now);
      if (may !== true) events.push({ at: now + may, run: () => come(now + may) });
      else events.push({ at: now + 1000, run: () => leave(now + 1000) });
    };
    const leave = (now: number) => {
      places.leave(job);
      left--;
      if (left === 0) ended.set(job, now);
      else come(now);
    };
    events.push({ at, run: () => come(at) });
  }
  for (let now = 0; ended.size < jobs.length && now < 10_000_000; ) {
    events.sort((a, b) => a.at - b.at);
    const next = events.shift();
    now = next?.at ?? now;
    next?.run();
  }
  return { ended, comes };
}

test('hundreds of jobs of a few owners do not keep one of another waiting', () => {
  const many = Array.from({ length: 256 }, (_, i) => ({
    ...{ job: `many-${i}`, owner: `owner-${i % 4}`, at: i, parts: 4 },
  }));
  const { ended, comes } = readAll([...many, { job: 'one', owner: 'one', at: 20_500, parts: 2 }]);
  expect(ended.get('one')).toBeLessThanOrEqual(20_500 + 6000);
  // All were read by eight at a time, and few of them came for nothing.
  expect(Math.max(...ended.values())).toBeLessThan(1.3 * 1000 * 128);
  expect([...comes.values()].reduce((sum, count) => sum + count, 0)).toBeLessThan(256 * 40);
});

test.each(['said', 'not said'])(
  'jobs that are taken back before they are read keep nobody waiting (%s)',
  (how) => {
    const places = new ReadingPlaces();
    for (const name of ['b1', 'b2', 'c1', 'c2', 'd1', 'd2', 'e1', 'e2']) {
      places.enter(name, name.slice(0, 1), 0);
    }
    const honest = places.enter('honest', 'honest', 0);
    expect(honest).not.toBe(true);
    let comesAt = Number(honest);
    let read = 0;
    for (let now = 0; now < 60_000; now += 500) {
      // Each comes once, when others wait.
      for (let i = 0; i < 9 && now % 4000 === 0; i++) {
        const name = `${i} ${now}`;
        if (places.enter(name, `${i}`, now) === true) places.leave(name);
        if (how === 'said') places.forget(name);
      }
      if (now === 5000)
        for (const name of ['b1', 'b2', 'c1', 'c2', 'd1', 'd2', 'e1', 'e2']) places.leave(name);
      if (comesAt > now) continue;
      const may = places.enter('honest', 'honest', now);
      if (may === true) {
        read++;
        places.leave('honest');
      }
      comesAt = now + (may === true ? 500 : may);
    }
    expect(read).toBeGreaterThan(20);
  },
);
