import { describe, expect, it } from 'vitest';
import { type Action, type Interruption, type Load, nextAction } from './scheduler.ts';

const one = { slots: 1, chunkPositions: 10, client: 'a', isBackground: false };
const held = { ...one, pool: 'common' as const };
const idle: Load = {
  waitingImages: 0,
  waitingGroups: [],
  heldGroups: [],
  prefilling: 0,
  running: 0,
  maxSlots: 4,
  reserveSlots: 0,
  chunkTokens: 100,
};
const full = Array.from({ length: 4 }, () => held);

describe('nextAction', () => {
  it.each<[string, Partial<Load>, Action['kind'], Action['kind']]>([
    ['waits when there is nothing', {}, 'step', 'wait'],
    ['encodes an image', { waitingImages: 2 }, 'wait', 'images'],
    [
      'fills the slots after it has encoded',
      { waitingImages: 1, waitingGroups: [one, one] },
      'images',
      'prefill',
    ],
    [
      'encodes after it has filled slots, though there is room for more',
      { waitingImages: 1, waitingGroups: [one], prefilling: 1 },
      'prefill',
      'images',
    ],
    [
      'steps when all slots are taken',
      { waitingGroups: [one], heldGroups: full, running: 4 },
      'step',
      'step',
    ],
    [
      'encodes ahead while all slots are taken',
      { waitingImages: 1, waitingGroups: [one], heldGroups: full, running: 4 },
      'step',
      'images',
    ],
    ['steps between two encodes', { waitingImages: 5, running: 1 }, 'images', 'step'],
    ['steps after a prefill', { waitingGroups: [one], running: 2 }, 'prefill', 'step'],
    [
      'begins another prompt between two chunks of a long one',
      { prefilling: 1, waitingGroups: [one] },
      'prefill-chunk',
      'prefill',
    ],
    [
      'prefills a prompt to its end while nothing else is to be done',
      { prefilling: 1 },
      'prefill-chunk',
      'prefill-chunk',
    ],
    ['steps between two chunks', { prefilling: 1, running: 1 }, 'prefill-chunk', 'step'],
    ['steps while sequences run', { running: 2 }, 'step', 'step'],
  ])('%s', (_name, load, last, expected) => {
    const interruption = last === 'step' || last === 'wait' ? 'images' : last;
    expect(nextAction({ ...idle, ...load }, { last, interruption }).kind).toBe(expected);
  });

  it('never lets a running sequence wait for two other actions in a row', () => {
    for (const last of ['images', 'prefill', 'prefill-chunk'] as const) {
      for (let running = 1; running <= 4; running++) {
        const load = {
          ...idle,
          waitingImages: 9,
          waitingGroups: [one, one],
          heldGroups: full.slice(0, running),
          prefilling: 1,
          running,
        };
        expect(nextAction(load, { last, interruption: last }).kind).toBe('step');
      }
    }
  });

  it('does each of what can be done between steps in its turn', () => {
    const load = { ...idle, waitingImages: 9, waitingGroups: [one], prefilling: 1, running: 1 };
    const done: string[] = [];
    let interruption: Interruption = 'images';
    for (let i = 0; i < 6; i++) {
      const { kind } = nextAction(load, { last: 'step', interruption });
      if (kind !== 'step' && kind !== 'wait') interruption = kind;
      done.push(kind);
    }
    expect(new Set(done.slice(0, 3)).size).toBe(3);
    expect(done.slice(3)).toEqual(done.slice(0, 3));
  });
});
