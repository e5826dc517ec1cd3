import { describe, expect, it } from 'vitest';
import {
  beginningGroups,
  type HeldGroup,
  type Pool,
  type SlotLimits,
  type WaitingGroup,
} from './slot-share.ts';

type Change = Partial<WaitingGroup>;

const one = (slots = 1, change: Change = {}): WaitingGroup => {
  const { chunkPositions = 10, chunkText = chunkPositions } = change;
  const kv = { slots, promptIds: 20, maxTokens: 40 };
  return { slots, client: 'a', isBackground: false, kv, ...change, chunkPositions, chunkText };
};
const of = (client: string, slots = 1) => one(slots, { client });
const background = (slots = 1) => one(slots, { isBackground: true });
const held = (group: WaitingGroup, pool: Pool = 'common'): HeldGroup => ({ ...group, pool });
const several = (count: number, group = one()) => Array.from({ length: count }, () => group);

/** Groups that begin: their indices, those in the reserve marked. */
function begun(waiting: WaitingGroup[], holding: HeldGroup[], limits: Partial<SlotLimits> = {}) {
  const all = { maxSlots: 4, reserveSlots: 4, chunkTokens: 100, ...limits };
  return beginningGroups(waiting, holding, all).map(({ index, pool }) => {
    return pool === 'common' ? index : `${index} in the reserve`;
  });
}

describe('background work that is overdue', () => {
  const overdue = { isBackgroundOverdue: true };
  const four = several(4).map((group) => held(group));
  it.each<[string, WaitingGroup[], HeldGroup[], (number | string)[]]>([
    ['has the slot that is free, beside who comes', [background(), one()], four.slice(1), [0, 1]],
    [
      'keeps who comes from no slot of the reserve',
      [background(), of('b')],
      four,
      ['1 in the reserve'],
    ],
    ['takes no slot of the reserve', [background()], four, []],
    [
      'has all slots for a wide group where they are free',
      [background(4)],
      several(4).map((group, i) => held(group, i < 3 ? 'reserve' : 'short')),
      [0],
    ],
    [
      'is the first in line with a wide group',
      [background(4), one()],
      four.slice(1),
      ['1 in the reserve'],
    ],
    [
      'waits as ever where it holds some',
      [one(), background()],
      [held(background()), ...four.slice(1)],
      [0],
    ],
  ])('%s', (_name, waiting, holding, expected) => {
    expect(begun(waiting, holding, overdue)).toEqual(expected);
  });

  it('stands behind all others otherwise', () => {
    expect(begun([one(), background()], four.slice(1))).toEqual([0]);
    expect(begun([background(4)], [held(one(), 'reserve')])).toEqual([]);
  });
});

describe('the common slots', () => {
  const common = { reserveSlots: 0 };
  it.each<[string, WaitingGroup[], HeldGroup[], Partial<SlotLimits>, number[]]>([
    ['go to no more than fit', several(3), several(3).map((group) => held(group)), {}, [0]],
    [
      'go to long prompts one pass after another',
      [60, 40, 1].map((chunkPositions) => one(1, { chunkPositions })),
      [],
      {},
      [0],
    ],
    [
      'go to as many prompts at a time as make a pass with the longest text of them',
      [5, 34, 20, 1].map((chunkPositions) => one(1, { chunkPositions })),
      [],
      {},
      [0, 1],
    ],
    [
      'go to a prompt with its image beside texts about images that are known',
      [one(1, { chunkPositions: 40, chunkText: 8 }), ...several(3, one(1, { chunkPositions: 15 }))],
      [],
      {},
      [0, 1, 2, 3],
    ],
    [
      'go to one prompt that is longer than the limit for several',
      [400, 1].map((chunkPositions) => one(1, { chunkPositions })),
      [],
      {},
      [0],
    ],
    [
      'are counted as a group will need them, not as it starts',
      [one(3), one(), one()],
      [],
      {},
      [0, 1],
    ],
    [
      'go to no group that overtakes one that needs many',
      [one(3), one()],
      several(2).map((group) => held(group)),
      {},
      [],
    ],
    [
      'keep one of the last two free when the work is background',
      several(2, background()),
      several(2).map((group) => held(group)),
      {},
      [0],
    ],
    [
      'but for one may all have background work',
      [background(), background(2), background()],
      [],
      {},
      [0, 1],
    ],
    ['go to background work that needs them all when nothing runs', [background(4)], [], {}, [0]],
  ])('%s', (_name, waiting, holding, limits, expected) => {
    expect(begun(waiting, holding, { ...common, ...limits })).toEqual(expected);
  });
});

describe('the reserve', () => {
  const greedy = held(of('greedy', 4));
  it.each<[string, WaitingGroup[], HeldGroup[], (number | string)[]]>([
    [
      'takes a client that holds nothing beside one that holds all',
      [of('light')],
      [greedy],
      ['0 in the reserve'],
    ],
    [
      'takes it past the wide groups of the other, which wait as long as without it',
      [of('greedy', 4), of('greedy', 4), of('light')],
      [greedy],
      ['2 in the reserve'],
    ],
    [
      'takes a narrow group past the wide ones of the same client, or of the same address',
      [of('greedy', 4), of('greedy')],
      [greedy],
      ['1 in the reserve'],
    ],
    [
      'takes a beam search while a quarter stays free',
      [of('light', 3), of('other')],
      [greedy],
      ['0 in the reserve', '1 in the reserve'],
    ],
    ['does not take one that needs all of it', [of('light', 4)], [greedy], []],
    [
      'takes as much of a client as is its fair share',
      several(4, of('light')),
      [greedy],
      ['0 in the reserve', '1 in the reserve'],
    ],
    [
      'takes nothing of a client that has its share already',
      [of('greedy')],
      [...several(4, of('greedy')).map((group) => held(group)), held(of('light'), 'reserve')],
      [],
    ],
    [
      'keeps a half for others from a client that has wide groups',
      several(4, of('greedy')),
      [greedy],
      ['0 in the reserve', '1 in the reserve'],
    ],
    ['takes no background work', [background()], [greedy], []],
    [
      'is not needed where only background work holds the common slots',
      [one(2)],
      [held(background(4))],
      [0],
    ],
    ['holds no more than it has', [of('new')], [greedy, held(of('b', 4), 'reserve')], []],
  ])('%s', (_name, waiting, holding, expected) => {
    expect(begun(waiting, holding)).toEqual(expected);
  });

  it('never makes the slots in all more than both have', () => {
    for (let width = 1; width <= 4; width++) {
      const waiting = Array.from({ length: 40 }, (_, i) =>
        one(1 + (i % width), { client: String(i % 7), isBackground: i > 30 }),
      );
      const holding: HeldGroup[] = [];
      for (;;) {
        const [first] = beginningGroups(waiting, holding, {
          ...{ maxSlots: 4, reserveSlots: 4, chunkTokens: 100 },
        });
        if (first === undefined) break;
        const [group] = waiting.splice(first.index, 1);
        holding.push(held(group!, first.pool));
        const slots = holding.reduce((sum, { slots }) => sum + slots, 0);
        expect(slots).toBeLessThanOrEqual(8);
      }
      expect(holding.length).toBeGreaterThan(0);
    }
  });
});
