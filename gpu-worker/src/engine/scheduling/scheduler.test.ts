import { describe, expect, it } from 'vitest';
import {
  type Action,
  type Interruption,
  isInterruption,
  type Load,
  nextAction,
} from './scheduler.ts';

const one = {
  ...{ slots: 1, client: 'a', isBackground: false, chunkPositions: 10, chunkText: 10 },
  kv: { slots: 1, promptIds: 10, maxTokens: 20 },
};
const held = { ...one, pool: 'common' as const };
const idle: Load = {
  waitingImages: 0,
  isImageUrgent: true,
  waitingGroups: [],
  heldGroups: [],
  prefilling: 0,
  isPrefillUrgent: true,
  running: 0,
  isRunningUrgent: true,
  isBackgroundDue: true,
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
    const interruption = isInterruption(last) ? last : 'images';
    expect(nextAction({ ...idle, ...load }, { last, interruption }).kind).toBe(expected);
  });

  const job = { ...one, isBackground: true };
  const background = { isImageUrgent: false, isPrefillUrgent: false, isRunningUrgent: false };
  it.each<[string, Partial<Load>, Action['kind'], Action['kind']]>([
    [
      'encodes for who waits, though it is the turn of prompts of the background',
      { waitingImages: 1, isImageUrgent: true, waitingGroups: [job] },
      'images',
      'images',
    ],
    [
      'begins the prompt of who waits, though it is the turn of images of the background',
      { waitingImages: 9, waitingGroups: [one, job] },
      'prefill',
      'prefill',
    ],
    [
      'computes the prompt of who waits to its end before a step of the background',
      { prefilling: 1, isPrefillUrgent: true, running: 3 },
      'prefill-chunk',
      'prefill-chunk',
    ],
    [
      'encodes for who waits before a step of the background',
      { waitingImages: 1, isImageUrgent: true, running: 3 },
      'prefill',
      'images',
    ],
    [
      'steps a stream before all else',
      { waitingImages: 1, isImageUrgent: true, running: 3, isRunningUrgent: true },
      'prefill',
      'step',
    ],
    [
      'works for the background between two steps of a stream',
      { waitingImages: 1, running: 1, isRunningUrgent: true },
      'step',
      'images',
    ],
    [
      'steps the background between two of its other actions',
      { waitingImages: 1, running: 3 },
      'prefill',
      'step',
    ],
    [
      'works for the background while who waits finds no slots',
      { waitingImages: 1, waitingGroups: [one], heldGroups: full, running: 4 },
      'step',
      'images',
    ],
  ])('%s', (_name, load, last, expected) => {
    const interruption = isInterruption(last) ? last : 'images';
    const all = { ...idle, ...background, ...load };
    expect(nextAction(all, { last, interruption }).kind).toBe(expected);
  });

  it.each<[string, Partial<Load>, Action['kind'], Action['kind']]>([
    ['rests with images', { waitingImages: 1 }, 'wait', 'rest'],
    ['rests with prompts', { waitingGroups: [job] }, 'images', 'rest'],
    ['rests with sequences that run', { running: 2 }, 'images', 'rest'],
    ['waits when there is nothing', {}, 'step', 'wait'],
    ['encodes for who waits', { waitingImages: 1, isImageUrgent: true }, 'wait', 'images'],
    [
      'steps a stream again and again',
      { waitingImages: 1, running: 2, isRunningUrgent: true },
      'step',
      'step',
    ],
  ])('%s while the background is not due', (_name, load, last, expected) => {
    const interruption = isInterruption(last) ? last : 'images';
    const all = { ...idle, ...background, isBackgroundDue: false, ...load };
    expect(nextAction(all, { last, interruption }).kind).toBe(expected);
  });

  it.each<[string, Partial<Load>, boolean]>([
    ['an image of a job', { waitingImages: 1 }, true],
    ['an image of somebody', { waitingImages: 1, isImageUrgent: true }, false],
    ['sequences of jobs', { running: 2 }, true],
    ['sequences of jobs and of somebody', { running: 2, isRunningUrgent: true }, false],
  ])('says whether anybody waits for %s', (_name, load, expected) => {
    const all = { ...idle, ...background, ...load };
    const { isBackground } = nextAction(all, { last: 'wait', interruption: 'images' });
    expect(isBackground).toBe(expected);
  });

  it('begins the prompts of who waits without those of the background', () => {
    const load = { ...idle, ...background, waitingGroups: [one, job, job] };
    const action = nextAction(load, { last: 'wait', interruption: 'images' });
    const groups = [{ index: 0, pool: 'common' }];
    expect(action).toEqual({ kind: 'prefill', groups, isBackground: false });
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
      if (isInterruption(kind)) interruption = kind;
      done.push(kind);
    }
    expect(new Set(done.slice(0, 3)).size).toBe(3);
    expect(done.slice(3)).toEqual(done.slice(0, 3));
  });
});
