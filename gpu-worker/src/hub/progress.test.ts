import { describe, expect, it } from 'vitest';
import { formatBytes, formatSeconds, PullMeter, type PullProgress } from './progress.ts';

describe('the meter of a pull', () => {
  it('takes what was there before for done, and not for fast', () => {
    const seen: PullProgress[] = [];
    let now = 0;
    const meter = new PullMeter(
      10e9,
      (progress) => seen.push(progress),
      () => now,
    );
    meter.found('a', 4e9);
    meter.has('b', 0);
    now = 1000;
    meter.has('b', 50e6);
    expect(seen.map(({ done }) => done)).toEqual([4e9, 4.05e9]);
    expect(seen.map(({ label }) => label)).toEqual([
      '4 GB of 10 GB',
      '4.05 GB of 10 GB, 50 MB/s, 1 min 59 s left',
    ]);
  });

  it('forgets a rate that is long past', () => {
    const seen: PullProgress[] = [];
    let now = 0;
    const meter = new PullMeter(
      1e9,
      (progress) => seen.push(progress),
      () => now,
    );
    for (const [at, bytes] of [
      [0, 0],
      [1000, 500e6],
      [20_000, 600e6],
      [21_000, 601e6],
    ] as const) {
      now = at;
      meter.has('a', bytes);
    }
    expect(seen.at(-1)!.label).toBe('601 MB of 1 GB, 1 MB/s, 6 min 39 s left');
  });

  it('reports at most five times a second, and always the end', () => {
    const seen: number[] = [];
    let now = 0;
    const meter = new PullMeter(
      1000,
      ({ done }) => seen.push(done),
      () => now,
    );
    for (let bytes = 1; bytes <= 1000; bytes++, now++) meter.has('a', bytes);
    expect(seen).toEqual([1, 201, 401, 601, 801, 1000]);
  });

  it('goes back when a file has to come again', () => {
    const seen: number[] = [];
    let now = 0;
    const meter = new PullMeter(
      100,
      ({ done }) => seen.push(done),
      () => now,
    );
    for (const bytes of [90, 0, 100]) {
      meter.has('a', bytes);
      now += 1000;
    }
    expect(seen).toEqual([90, 0, 100]);
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1234, '1.23 kB'],
    [7_489_523_712, '7.49 GB'],
    [5e15, '5000 TB'],
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0.2, '1 s'],
    [125, '2 min 5 s'],
    [3725, '1 h 2 min'],
  ])('writes %d seconds as %s', (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text);
  });
});
