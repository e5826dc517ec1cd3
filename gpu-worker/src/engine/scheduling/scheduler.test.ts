import { describe, expect, it } from 'vitest';
import { type Action, type Load, nextAction } from './scheduler.ts';

const one = (slots = 1, positions = 10) => ({ slots, positions, yields: false });
const background = (slots = 1) => ({ slots, positions: 10, yields: true });
const idle: Load = {
  waitingForEncode: 0,
  waitingForPrefill: [],
  reading: 0,
  running: 0,
  free: 4,
  atOnce: 100,
};

describe('nextAction', () => {
  it.each<[string, Partial<Load>, Action['kind'], Action]>([
    ['waits when there is nothing', {}, 'step', { kind: 'wait' }],
    ['encodes an image', { waitingForEncode: 2 }, 'wait', { kind: 'images' }],
    [
      'fills the slots before it encodes',
      { waitingForEncode: 1, waitingForPrefill: [one(), one()] },
      'images',
      { kind: 'prefill', count: 2 },
    ],
    [
      'prefills no more than fit',
      { waitingForPrefill: [one(), one(), one()], running: 3, free: 1 },
      'step',
      { kind: 'prefill', count: 1 },
    ],
    [
      'reads long prompts in turns',
      { waitingForPrefill: [one(1, 60), one(1, 40), one(1, 1)] },
      'wait',
      { kind: 'prefill', count: 2 },
    ],
    [
      'reads a prompt that is longer than all that go together',
      { waitingForPrefill: [one(1, 400), one(1, 1)] },
      'wait',
      { kind: 'prefill', count: 1 },
    ],
    [
      'counts the slots a job will need, not the one it starts with',
      { waitingForPrefill: [one(3), one(), one()], free: 4 },
      'wait',
      { kind: 'prefill', count: 2 },
    ],
    [
      'lets nobody overtake a job that needs many slots',
      { waitingForPrefill: [one(3), one()], running: 2, free: 2 },
      'step',
      { kind: 'step' },
    ],
    [
      'leaves a slot of the last two to whoever comes when the work is background',
      { waitingForPrefill: [background(), background()], running: 2, free: 2 },
      'step',
      { kind: 'prefill', count: 1 },
    ],
    [
      'fills all but one slot with background work',
      { waitingForPrefill: [background(), background(2), background()], free: 4 },
      'wait',
      { kind: 'prefill', count: 2 },
    ],
    [
      'gives background work all slots when it needs them and nobody writes',
      { waitingForPrefill: [background(4)], free: 4 },
      'wait',
      { kind: 'prefill', count: 1 },
    ],
    [
      'steps when all slots are taken',
      { waitingForPrefill: [one()], running: 4, free: 0 },
      'step',
      { kind: 'step' },
    ],
    [
      'encodes ahead while all slots are taken',
      { waitingForEncode: 1, waitingForPrefill: [one()], running: 4, free: 0 },
      'step',
      { kind: 'images' },
    ],
    ['steps between two encodes', { waitingForEncode: 5, running: 1 }, 'images', { kind: 'step' }],
    [
      'steps after a prefill',
      { waitingForPrefill: [one()], running: 2 },
      'prefill',
      { kind: 'step' },
    ],
    [
      'reads on in a prompt before it begins another',
      { reading: 1, waitingForPrefill: [one()], running: 1 },
      'step',
      { kind: 'read' },
    ],
    ['reads a prompt to its end where nobody waits', { reading: 1 }, 'read', { kind: 'read' }],
    ['steps between two pieces', { reading: 1, running: 1 }, 'read', { kind: 'step' }],
    ['steps while sequences run', { running: 2 }, 'step', { kind: 'step' }],
  ])('%s', (_name, load, last, expected) => {
    expect(nextAction({ ...idle, ...load }, last)).toEqual(expected);
  });

  it('never lets a running sequence wait for two other actions in a row', () => {
    for (const last of ['images', 'prefill'] as const) {
      for (let running = 1; running <= 4; running++) {
        const load = {
          ...idle,
          waitingForEncode: 9,
          waitingForPrefill: [one(), one()],
          reading: 1,
          running,
          free: 4 - running,
        };
        expect(nextAction(load, last).kind).toBe('step');
      }
    }
  });
});
