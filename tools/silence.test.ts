/** When a part that does not answer is given up. */
import { describe, expect, it } from 'vitest';
import { Silence } from './silence.ts';

type Activity = Parameters<Silence['add']>[0];

/** How many looks of 3 s, each without an answer, it takes; null where it is never given up. */
function looksUntilGivenUp(activityAt: (look: number) => Activity): number | null {
  const silence = new Silence({ silent: 4, busyMs: 60_000 });
  for (let look = 1; look <= 1000; look++) {
    if (silence.add(activityAt(look), 3000) !== null) return look;
  }
  return null;
}

describe('a silent part', () => {
  it.each([
    ['nobody knows about', () => null, 4],
    ['does nothing', () => 'nothing', 4],
    ['is stopped right after it has computed', (look) => (look === 1 ? 'computed' : 'nothing'), 4],
    ['computes for ever', () => 'computed', 20],
    ['computes, then is stopped', (look) => (look <= 10 ? 'computed' : 'nothing'), 13],
    ['rests between two requests', (look) => (look % 3 === 0 ? 'computed' : 'nothing'), 4 * 3 * 5],
    ['gets no processor time', () => 'starved', null],
    ['gets some now and then', (look) => (look % 10 === 0 ? 'computed' : 'starved'), 200],
  ] as [string, (look: number) => Activity, number | null][])(
    'that %s is given up in time',
    (_, activityAt, looks) => {
      expect(looksUntilGivenUp(activityAt)).toBe(looks);
    },
  );

  it('may take longer for an answer while it computes', () => {
    const silence = new Silence({ silent: 4, busyMs: 60_000 });
    expect(silence.isBusy).toBe(false);
    silence.add('computed', 3000);
    expect(silence.isBusy).toBe(true);
    silence.add('nothing', 3000);
    expect(silence.isBusy).toBe(false);
  });
});
