import { describe, expect, it } from 'vitest';
import { BackgroundShare } from './background-share.ts';

function shareOf(share: number) {
  const clock = { now: 0 };
  return { clock, share: new BackgroundShare(share, () => clock.now) };
}

describe('background work', () => {
  it('is always due while nobody asks', () => {
    const { share } = shareOf(0.5);
    share.ran(100);
    expect(share.restMs).toBe(0);
  });

  it('rests as long as it ran at half of the time, while somebody has asked of late', () => {
    const { clock, share } = shareOf(0.5);
    share.asked();
    expect(share.restMs).toBe(0);
    clock.now = 100;
    share.ran(100);
    expect(share.restMs).toBe(100);
    clock.now = 200;
    expect(share.restMs).toBe(0);
  });

  it('rests three times as long at a quarter, and never at all of the time', () => {
    for (const [part, rest] of [
      [0.25, 300],
      [1, 0],
    ] as const) {
      const { share } = shareOf(part);
      share.asked();
      share.ran(100);
      expect(share.restMs).toBeCloseTo(rest);
    }
  });

  it('does not begin while an image is decoded for somebody, for a moment', () => {
    const { clock, share } = shareOf(0.5);
    share.expect();
    expect(share.restMs).toBe(60);
    clock.now = 60;
    expect(share.restMs).toBe(0);
    share.ran(200);
    share.expect();
    expect(share.restMs).toBe(200);
    const all = shareOf(1).share;
    all.expect();
    expect(all.restMs).toBe(0);
  });

  it('is held up by images for a moment in all, however many come', () => {
    const { clock, share } = shareOf(0.25);
    let ran = 0;
    for (; clock.now < 10_000; clock.now++) {
      if (clock.now % 50 === 0) share.expect();
      if (share.restMs > 0) continue;
      clock.now += 20;
      share.ran(20);
      ran++;
    }
    // 20 ms of work, 60 of rest, and 60 for images at most.
    expect(ran).toBeGreaterThanOrEqual(70);
    expect(ran).toBeLessThanOrEqual(126);
  });

  it('is due ten seconds after the last who asked, however long it should rest', () => {
    const { clock, share } = shareOf(0.01);
    share.asked();
    share.ran(1000);
    clock.now = 9999;
    expect(share.restMs).toBe(1);
    clock.now = 10_000;
    expect(share.restMs).toBe(0);
  });
});
