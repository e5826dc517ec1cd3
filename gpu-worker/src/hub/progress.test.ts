import { describe, expect, it } from 'vitest';
import { formatBytes, formatSeconds, type PullProgress, PullProgressTracker } from './progress.ts';

describe('the progress of a pull', () => {
  it('counts what an earlier run has brought as done, but not into the rate', () => {
    const reports: PullProgress[] = [];
    let now = 0;
    const tracker = new PullProgressTracker(
      10e9,
      (progress) => reports.push(progress),
      () => now,
    );
    tracker.resume('a', 4e9);
    tracker.update('b', 0);
    now = 1000;
    tracker.update('b', 50e6);
    expect(reports.map(({ done }) => done)).toEqual([4e9, 4.05e9]);
    expect(reports.map(({ label }) => label)).toEqual([
      '4 GB of 10 GB',
      '4.05 GB of 10 GB, 50 MB/s, 1 min 59 s left',
    ]);
  });

  it('gives the rate of the last ten seconds', () => {
    const reports: PullProgress[] = [];
    let now = 0;
    const tracker = new PullProgressTracker(
      1e9,
      (progress) => reports.push(progress),
      () => now,
    );
    for (const [at, bytes] of [
      [0, 0],
      [1000, 500e6],
      [20_000, 600e6],
      [21_000, 601e6],
    ] as const) {
      now = at;
      tracker.update('a', bytes);
    }
    expect(reports.at(-1)!.label).toBe('601 MB of 1 GB, 1 MB/s, 6 min 39 s left');
  });

  it('reports at most five times a second, and always the end', () => {
    const reports: number[] = [];
    let now = 0;
    const tracker = new PullProgressTracker(
      1000,
      ({ done }) => reports.push(done),
      () => now,
    );
    for (let bytes = 1; bytes <= 1000; bytes++, now++) tracker.update('a', bytes);
    expect(reports).toEqual([1, 201, 401, 601, 801, 1000]);
  });

  it('goes back when a file has to come again', () => {
    const reports: number[] = [];
    let now = 0;
    const tracker = new PullProgressTracker(
      100,
      ({ done }) => reports.push(done),
      () => now,
    );
    for (const bytes of [90, 0, 100]) {
      tracker.update('a', bytes);
      now += 1000;
    }
    expect(reports).toEqual([90, 0, 100]);
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
