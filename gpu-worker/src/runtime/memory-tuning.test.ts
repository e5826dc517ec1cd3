import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { tunedArguments, tunedEnvironment } from './memory-tuning.ts';

describe('the environment of the worker', () => {
  it('requests large pages, and has its other variables unchanged', () => {
    const tuned = tunedEnvironment({ HOME: '/root', NONE: undefined }, 'linux');
    expect(tuned).toMatchObject({ HOME: '/root' });
    expect(tuned?.GLIBC_TUNABLES?.split(':')).toContain('glibc.malloc.hugetlb=1');
    expect(tuned).not.toHaveProperty('NONE');
  });

  it.each([
    ['when its allocator is tuned already', { GLIBC_TUNABLES: '' }, 'linux'],
    ['where the C library is another', {}, 'darwin'],
  ])('is not changed %s', (_, environment, platform) => {
    expect(tunedEnvironment(environment, platform)).toBeNull();
  });
});

describe('the heap of the worker', () => {
  /** While it moves objects, V8 may have pages of 256 KiB beyond the limit, four of them once on a busy machine. Without a limit it has 64 MB. */
  const MOVING_MB = 2;
  /** Megabytes that a thread's young objects take at most, after a program that makes many that live for a while. */
  const youngMb = (args: string[]): number => {
    const program = `
      const { Worker } = require('node:worker_threads');
      new Worker(\`
        const { getHeapSpaceStatistics } = require('node:v8');
        let most = 0;
        let live = [];
        for (let i = 0; i < 3e6; i++) {
          live.push({ i });
          if (live.length === 4e5) live = [];
          if (i % 1e5 === 0) {
            const { space_size } = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
            most = Math.max(most, space_size);
          }
        }
        console.log(most / 2 ** 20);
      \`, { eval: true });`;
    return Number(
      spawnSync(process.execPath, [...args, '-e', program], { encoding: 'utf8' }).stdout,
    );
  };

  it('has a bound for young objects, in other threads too', () => {
    const bounded = youngMb(tunedArguments([]));
    expect(bounded).toBeGreaterThan(0);
    expect(bounded).toBeLessThanOrEqual(2 * 8 + MOVING_MB);
    expect(youngMb([])).toBeGreaterThan(2 * 8 + MOVING_MB);
  });

  it('is what whoever starts the worker says, where they do', () => {
    expect(youngMb(tunedArguments(['--max-semi-space-size=2']))).toBeLessThanOrEqual(
      2 * 2 + MOVING_MB,
    );
  });
});
