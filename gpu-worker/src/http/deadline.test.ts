import { describe, expect, it } from 'vitest';
import { Deadline } from './deadline.ts';

describe('a deadline', () => {
  it.each([
    ['is over', 500, 500],
    ['is over', 500, 900],
    ['is to come', 5000, 900],
  ])('%s %d ms after an arrival %d ms ago', (state, ms, ago) => {
    let now = 1000;
    using deadline = new Deadline(() => now);
    now += ago;
    deadline.start(ms);
    expect(deadline.signal.aborted).toBe(state === 'is over');
    expect(deadline.elapsed).toBe(ago);
  });

  it('gives its problem as the reason', () => {
    let now = 0;
    using deadline = new Deadline(() => now);
    now = 10;
    deadline.start(5);
    expect(deadline.signal.reason).toMatchObject({ slug: 'deadline-exceeded', status: 504 });
  });
});
