import { describe, expect, it } from 'vitest';
import { type Action, type Load, nextAction } from './scheduler.ts';

const idle: Load = { waitingForEncode: 0, waitingForPrefill: [], reading: 0, running: 0, free: 4 };

describe('nextAction', () => {
  it.each<[string, Partial<Load>, Action['kind'], Action]>([
    ['waits when there is nothing', {}, 'step', { kind: 'wait' }],
    ['encodes a picture', { waitingForEncode: 2 }, 'wait', { kind: 'images' }],
    [
      'fills the slots before it encodes',
      { waitingForEncode: 1, waitingForPrefill: [1, 1] },
      'images',
      { kind: 'prefill', count: 2 },
    ],
    [
      'prefills no more than fit',
      { waitingForPrefill: [1, 1, 1], running: 3, free: 1 },
      'step',
      { kind: 'prefill', count: 1 },
    ],
    [
      'counts the slots a job will need, not the one it starts with',
      { waitingForPrefill: [3, 1, 1], free: 4 },
      'wait',
      { kind: 'prefill', count: 2 },
    ],
    [
      'lets nobody overtake a job that needs many slots',
      { waitingForPrefill: [3, 1], running: 2, free: 2 },
      'step',
      { kind: 'step' },
    ],
    [
      'steps when all slots are taken',
      { waitingForPrefill: [1], running: 4, free: 0 },
      'step',
      { kind: 'step' },
    ],
    [
      'encodes ahead while all slots are taken',
      { waitingForEncode: 1, waitingForPrefill: [1], running: 4, free: 0 },
      'step',
      { kind: 'images' },
    ],
    ['steps between two encodes', { waitingForEncode: 5, running: 1 }, 'images', { kind: 'step' }],
    ['steps after a prefill', { waitingForPrefill: [1], running: 2 }, 'prefill', { kind: 'step' }],
    [
      'reads on in a prompt before it begins another',
      { reading: 1, waitingForPrefill: [1], running: 1 },
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
          waitingForEncode: 9,
          waitingForPrefill: [1, 1],
          reading: 1,
          running,
          free: 4 - running,
        };
        expect(nextAction(load, last).kind).toBe('step');
      }
    }
  });
});
