import { describe, expect, it } from 'vitest';
import { tunedEnvironment } from './malloc-tuning.ts';

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
