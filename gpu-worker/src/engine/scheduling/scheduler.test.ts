import { describe, expect, it } from 'vitest';
import {
  type Action,
  type History,
  historyAfter,
  isBackgroundHeldUp,
  isInterruption,
  type Load,
  NO_HISTORY,
  nextAction,
} from './scheduler.ts';

const one = {
  ...{ slots: 1, client: 'a', isBackground: false, chunkPositions: 10, chunkText: 10 },
  kv: { slots: 1, promptIds: 10, maxTokens: 20 },
};
const held = { ...one, pool: 'common' as const };
const idle: Load = {
  hasUrgentImage: false,
  hasBackgroundImage: false,
  waitingGroups: [],
  heldGroups: [],
  hasUrgentPrefill: false,
  hasBackgroundPrefill: false,
  running: 0,
  isRunningUrgent: true,
  isBackgroundDue: true,
  isBackgroundOverdue: false,
  maxSlots: 4,
  reserveSlots: 0,
  chunkTokens: 100,
};
const after = (last: Action['kind']): History => {
  return { ...NO_HISTORY, last, ...(isInterruption(last) && { interruption: last }) };
};
const full = Array.from({ length: 4 }, () => held);

describe('nextAction', () => {
  it.each<[string, Partial<Load>, Action['kind'], Action['kind']]>([
    ['waits when there is nothing', {}, 'step', 'wait'],
    ['encodes an image', { hasUrgentImage: true }, 'wait', 'images'],
    [
      'fills the slots after it has encoded',
      { hasUrgentImage: true, waitingGroups: [one, one] },
      'images',
      'prefill',
    ],
    [
      'encodes after it has filled slots, though there is room for more',
      { hasUrgentImage: true, waitingGroups: [one], hasUrgentPrefill: true },
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
      { hasUrgentImage: true, waitingGroups: [one], heldGroups: full, running: 4 },
      'step',
      'images',
    ],
    ['steps between two encodes', { hasUrgentImage: true, running: 1 }, 'images', 'step'],
    ['steps after a prefill', { waitingGroups: [one], running: 2 }, 'prefill', 'step'],
    [
      'begins another prompt between two chunks of a long one',
      { hasUrgentPrefill: true, waitingGroups: [one] },
      'prefill-chunk',
      'prefill',
    ],
    [
      'prefills a prompt to its end while nothing else is to be done',
      { hasUrgentPrefill: true },
      'prefill-chunk',
      'prefill-chunk',
    ],
    ['steps between two chunks', { hasUrgentPrefill: true, running: 1 }, 'prefill-chunk', 'step'],
    ['steps while sequences run', { running: 2 }, 'step', 'step'],
  ])('%s', (_name, load, last, expected) => {
    expect(nextAction({ ...idle, ...load }, after(last)).kind).toBe(expected);
  });

  const job = { ...one, isBackground: true };
  const background = { isRunningUrgent: false };
  it.each<[string, Partial<Load>, Action['kind'], Action['kind']]>([
    [
      'encodes for who waits, though it is the turn of prompts of the background',
      { hasUrgentImage: true, waitingGroups: [job] },
      'images',
      'images',
    ],
    [
      'begins the prompt of who waits, though it is the turn of images of the background',
      { hasBackgroundImage: true, waitingGroups: [one, job] },
      'prefill',
      'prefill',
    ],
    [
      'computes the prompt of who waits to its end before a step of the background',
      { hasUrgentPrefill: true, running: 3 },
      'prefill-chunk',
      'prefill-chunk',
    ],
    [
      'encodes for who waits before a step of the background',
      { hasUrgentImage: true, running: 3 },
      'prefill',
      'images',
    ],
    [
      'steps a stream before all else',
      { hasUrgentImage: true, running: 3, isRunningUrgent: true },
      'prefill',
      'step',
    ],
    [
      'works for the background between two steps of a stream',
      { hasBackgroundImage: true, running: 1, isRunningUrgent: true },
      'step',
      'images',
    ],
    [
      'steps the background between two of its other actions',
      { hasBackgroundImage: true, running: 3 },
      'prefill',
      'step',
    ],
    [
      'works for the background while who waits finds no slots',
      { hasBackgroundImage: true, waitingGroups: [one], heldGroups: full, running: 4 },
      'step',
      'images',
    ],
  ])('%s', (_name, load, last, expected) => {
    const all = { ...idle, ...background, ...load };
    expect(nextAction(all, after(last)).kind).toBe(expected);
  });

  it.each<[string, Partial<Load>, Action['kind'], Action['kind']]>([
    ['rests with images', { hasBackgroundImage: true }, 'wait', 'rest'],
    ['rests with prompts', { waitingGroups: [job] }, 'images', 'rest'],
    ['rests with sequences that run', { running: 2 }, 'images', 'rest'],
    ['waits when there is nothing', {}, 'step', 'wait'],
    ['encodes for who waits', { hasUrgentImage: true }, 'wait', 'images'],
    [
      'steps a stream again and again',
      { hasBackgroundImage: true, running: 2, isRunningUrgent: true },
      'step',
      'step',
    ],
  ])('%s while the background is not due', (_name, load, last, expected) => {
    const all = { ...idle, ...background, isBackgroundDue: false, ...load };
    expect(nextAction(all, after(last)).kind).toBe(expected);
  });

  it.each<[string, Partial<Load>, Action['kind'], Action['kind'], boolean]>([
    [
      'an image of it goes first',
      { hasBackgroundImage: true, hasUrgentImage: true },
      'images',
      'images',
      true,
    ],
    [
      'a prompt of it goes on first',
      { hasBackgroundPrefill: true, hasUrgentImage: true },
      'images',
      'prefill-chunk',
      true,
    ],
    [
      'a group of it begins first',
      { waitingGroups: [job, one], hasUrgentImage: true },
      'images',
      'prefill',
      true,
    ],
    ['a step of it goes first', { running: 3, hasUrgentImage: true }, 'images', 'step', true],
    [
      'a stream has its step before that',
      { running: 3, isRunningUrgent: true, hasBackgroundImage: true },
      'images',
      'step',
      false,
    ],
    [
      'it has one action between two steps of a stream',
      { running: 3, isRunningUrgent: true, hasBackgroundImage: true, hasUrgentImage: true },
      'step',
      'images',
      true,
    ],
    [
      'others go on where nothing of it can be done',
      { hasUrgentImage: true, waitingGroups: [job], heldGroups: full },
      'images',
      'images',
      false,
    ],
  ])('%s (%#) where the background is overdue', (_name, load, last, kind, isBackground) => {
    const all = { ...idle, ...background, isBackgroundOverdue: true, ...load };
    expect(nextAction(all, after(last))).toMatchObject({ kind, isBackground });
  });

  it('does by turns what is overdue, whatever others do between', () => {
    const load = {
      ...{ ...idle, ...background, hasUrgentImage: true, running: 3 },
      ...{ hasBackgroundImage: true, hasBackgroundPrefill: true, isBackgroundOverdue: true },
    };
    const done: string[] = [];
    let history = NO_HISTORY;
    for (let i = 0; i < 6; i++) {
      const action = nextAction(load, history);
      done.push(action.kind);
      history = historyAfter(action, history);
      history = historyAfter({ kind: 'images', isBackground: false }, history);
    }
    expect(done).toEqual(['step', 'prefill-chunk', 'step', 'images', 'step', 'prefill-chunk']);
  });

  it.each<[string, Partial<Load>, boolean]>([
    ['an image', { hasBackgroundImage: true }, true],
    ['a prompt that goes on', { hasBackgroundPrefill: true }, true],
    ['a group that holds no slots', { waitingGroups: [job] }, true],
    [
      'a group beside one that has its steps with others',
      {
        waitingGroups: [job],
        heldGroups: [{ ...job, pool: 'common' }],
        running: 2,
        isRunningUrgent: true,
      },
      false,
    ],
    ['steps of its own', { heldGroups: [{ ...job, pool: 'common' }], running: 1 }, true],
    ['nothing of it', { hasUrgentImage: true, waitingGroups: [one] }, false],
  ])('says whether %s of the background is held up', (_name, load, expected) => {
    expect(isBackgroundHeldUp({ ...idle, ...background, ...load })).toBe(expected);
  });

  it.each<[string, Partial<Load>, boolean]>([
    ['an image of a job', { hasBackgroundImage: true }, true],
    ['an image of somebody', { hasUrgentImage: true }, false],
    ['sequences of jobs', { running: 2 }, true],
    ['sequences of jobs and of somebody', { running: 2, isRunningUrgent: true }, false],
  ])('says whether anybody waits for %s', (_name, load, expected) => {
    const all = { ...idle, ...background, ...load };
    const { isBackground } = nextAction(all, NO_HISTORY);
    expect(isBackground).toBe(expected);
  });

  it('begins the prompts of who waits without those of the background', () => {
    const load = { ...idle, ...background, waitingGroups: [one, job, job] };
    const action = nextAction(load, NO_HISTORY);
    const groups = [{ index: 0, pool: 'common' }];
    expect(action).toEqual({ kind: 'prefill', groups, isBackground: false });
  });

  it('never lets a running sequence wait for two other actions in a row', () => {
    for (const last of ['images', 'prefill', 'prefill-chunk'] as const) {
      for (let running = 1; running <= 4; running++) {
        const load = {
          ...idle,
          hasUrgentImage: true,
          waitingGroups: [one, one],
          heldGroups: full.slice(0, running),
          hasUrgentPrefill: true,
          running,
        };
        expect(nextAction(load, after(last)).kind).toBe('step');
      }
    }
  });

  it('does each of what can be done between steps in its turn', () => {
    const load = {
      ...idle,
      hasUrgentImage: true,
      waitingGroups: [one],
      hasUrgentPrefill: true,
      running: 1,
    };
    const done: string[] = [];
    let history = NO_HISTORY;
    for (let i = 0; i < 6; i++) {
      const action = nextAction(load, { ...history, last: 'step' });
      history = historyAfter(action, history);
      done.push(action.kind);
    }
    expect(new Set(done.slice(0, 3)).size).toBe(3);
    expect(done.slice(3)).toEqual(done.slice(0, 3));
  });
});
