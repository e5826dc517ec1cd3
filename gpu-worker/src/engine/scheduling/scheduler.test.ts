import { describe, expect, it } from 'vitest';
import { type Action, type Load, nextAction } from './scheduler.ts';

const one = (slots = 1, chunkPositions = 10) => ({
  slots,
  chunkPositions,
  isBackground: false,
});
const background = (slots = 1) => ({ slots, chunkPositions: 10, isBackground: true });
const idle: Load = {
  waitingImages: 0,
  waitingGroups: [],
  prefilling: 0,
  running: 0,
  freeSlots: 4,
  chunkTokens: 100,
};

describe('nextAction', () => {
  it.each<[string, Partial<Load>, Action['kind'], Action]>([
    ['waits when there is nothing', {}, 'step', { kind: 'wait' }],
    ['encodes an image', { waitingImages: 2 }, 'wait', { kind: 'images' }],
    [
      'fills the slots before it encodes',
      { waitingImages: 1, waitingGroups: [one(), one()] },
      'images',
      { kind: 'prefill', count: 2 },
    ],
    [
      'prefills no more than fit',
      { waitingGroups: [one(), one(), one()], running: 3, freeSlots: 1 },
      'step',
      { kind: 'prefill', count: 1 },
    ],
    [
      'prefills long prompts one pass after another',
      { waitingGroups: [one(1, 60), one(1, 40), one(1, 1)] },
      'wait',
      { kind: 'prefill', count: 2 },
    ],
    [
      'prefills one prompt that is longer than the limit for several',
      { waitingGroups: [one(1, 400), one(1, 1)] },
      'wait',
      { kind: 'prefill', count: 1 },
    ],
    [
      'counts the slots a group will need, not the one it starts with',
      { waitingGroups: [one(3), one(), one()], freeSlots: 4 },
      'wait',
      { kind: 'prefill', count: 2 },
    ],
    [
      'lets no group overtake one that needs many slots',
      { waitingGroups: [one(3), one()], running: 2, freeSlots: 2 },
      'step',
      { kind: 'step' },
    ],
    [
      'leaves one of the last two slots free when the work is background',
      { waitingGroups: [background(), background()], running: 2, freeSlots: 2 },
      'step',
      { kind: 'prefill', count: 1 },
    ],
    [
      'fills all but one slot with background work',
      { waitingGroups: [background(), background(2), background()], freeSlots: 4 },
      'wait',
      { kind: 'prefill', count: 2 },
    ],
    [
      'gives background work all slots when it needs them and nothing runs',
      { waitingGroups: [background(4)], freeSlots: 4 },
      'wait',
      { kind: 'prefill', count: 1 },
    ],
    [
      'steps when all slots are taken',
      { waitingGroups: [one()], running: 4, freeSlots: 0 },
      'step',
      { kind: 'step' },
    ],
    [
      'encodes ahead while all slots are taken',
      { waitingImages: 1, waitingGroups: [one()], running: 4, freeSlots: 0 },
      'step',
      { kind: 'images' },
    ],
    ['steps between two encodes', { waitingImages: 5, running: 1 }, 'images', { kind: 'step' }],
    ['steps after a prefill', { waitingGroups: [one()], running: 2 }, 'prefill', { kind: 'step' }],
    [
      'continues a prompt before it begins another',
      { prefilling: 1, waitingGroups: [one()], running: 1 },
      'step',
      { kind: 'prefill-chunk' },
    ],
    [
      'prefills a prompt to its end while nothing runs',
      { prefilling: 1 },
      'prefill-chunk',
      { kind: 'prefill-chunk' },
    ],
    ['steps between two chunks', { prefilling: 1, running: 1 }, 'prefill-chunk', { kind: 'step' }],
    ['steps while sequences run', { running: 2 }, 'step', { kind: 'step' }],
  ])('%s', (_name, load, last, expected) => {
    expect(nextAction({ ...idle, ...load }, last)).toEqual(expected);
  });

  it('never lets a running sequence wait for two other actions in a row', () => {
    for (const last of ['images', 'prefill'] as const) {
      for (let running = 1; running <= 4; running++) {
        const load = {
          ...idle,
          waitingImages: 9,
          waitingGroups: [one(), one()],
          prefilling: 1,
          running,
          freeSlots: 4 - running,
        };
        expect(nextAction(load, last).kind).toBe('step');
      }
    }
  });
});
