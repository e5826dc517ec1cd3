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

  describe('behind what people wait for', () => {
    /** Others have the engine for so long at a time until it is overdue. @returns how long that was in all */
    const heldUpFor = (share: BackgroundShare, ms: number) => {
      let sum = 0;
      for (; !share.isOverdue; sum += ms) {
        share.heldUp(ms, true);
        share.asked();
        if (sum > 1e6) throw new Error('it never is');
      }
      return sum;
    };

    it('is overdue after 16 times what its last action took, and after a second at the least', () => {
      const { clock, share } = shareOf(1);
      expect(share.isOverdue).toBe(false);
      expect(heldUpFor(share, 100)).toBe(1000);
      share.ran(500);
      clock.now += 500;
      expect(heldUpFor(share, 100)).toBe(8000);
    });

    it('is overdue again when short actions of it have had their part of the time', () => {
      const { share } = shareOf(1);
      heldUpFor(share, 100);
      share.ran(10);
      expect(share.isOverdue).toBe(false);
      expect(heldUpFor(share, 10)).toBe(160);
    });

    it('is overdue later where others stood behind it in line', () => {
      const { share } = shareOf(1);
      heldUpFor(share, 100);
      for (let i = 0; i < 20; i++) share.waitedInLine(10);
      share.ran(50);
      expect(heldUpFor(share, 100)).toBe(4000);
    });

    it('is not overdue while it rests, and what it rests counts for nothing', () => {
      const { clock, share } = shareOf(0.25);
      heldUpFor(share, 100);
      share.ran(10);
      for (let i = 0; i < 100; i++) share.heldUp(10, true);
      expect(share.isOverdue).toBe(false);
      clock.now = 30;
      expect(heldUpFor(share, 10)).toBe(160);
    });

    it('is not overdue where others hold it up now and then, or nothing of it waits', () => {
      const { share } = shareOf(1);
      for (let i = 0; i < 1000; i++) {
        share.heldUp(300, true);
        expect(share.isOverdue).toBe(false);
        share.ran(20);
      }
      for (let i = 0; i < 9; i++) share.heldUp(100, true);
      share.heldUp(100, false);
      share.heldUp(100, true);
      expect(share.isOverdue).toBe(false);
    });
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
