/** Decides what the engine does next. Pure: a snapshot of the load in, one action out. */
import {
  type Beginning,
  beginningGroups,
  groupAhead,
  type HeldGroup,
  type SlotLimits,
  type WaitingGroup,
} from './slot-share.ts';

export type Load = SlotLimits & {
  /** Whether there is an image, or texts, that may be worked on for somebody who waits. */
  hasUrgentImage: boolean;
  hasBackgroundImage: boolean;
  /** Groups whose query embeddings are computed, in the order in which they get slots. */
  waitingGroups: readonly WaitingGroup[];
  heldGroups: readonly HeldGroup[];
  /** Whether there is a prompt computed in part that may go on for somebody who waits. */
  hasUrgentPrefill: boolean;
  hasBackgroundPrefill: boolean;
  /** Sequences that get a token with each decode step. */
  running: number;
  /** Whether one of these is no background work. */
  isRunningUrgent: boolean;
  /** Whether background work may have the engine now. */
  isBackgroundDue: boolean;
  /** Whether one action of it goes before what somebody waits for. */
  isBackgroundOverdue: boolean;
};

export type Action = {
  /** Whether nobody waits for any of it. */
  isBackground: boolean;
} & Work;

type Work =
  /** One work item of the image queue: an image to encode, or a few texts to compare. */
  | { kind: 'images' }
  /** The first chunks of these waiting groups. */
  | { kind: 'prefill'; groups: readonly Beginning[] }
  /** The next chunk of a prompt that is computed in part. */
  | { kind: 'prefill-chunk' }
  /** A token for every running sequence. */
  | { kind: 'step' }
  /** Nothing: background work is not due. */
  | { kind: 'rest' }
  | { kind: 'wait' };

/** What comes between two steps. */
export type Interruption = 'images' | 'prefill' | 'prefill-chunk';

/** What was done last, and what of it was no step. */
type Done = { last: Action['kind']; interruption: Interruption };

/** What was done, and of that what was background work alone. */
export type History = Done & { background: Done };

export const NO_HISTORY: History = {
  ...{ last: 'wait', interruption: 'images' },
  background: { last: 'wait', interruption: 'images' },
};

export function historyAfter({ kind, isBackground }: Action, history: History): History {
  const { background } = history;
  const isDone = isBackground && kind !== 'rest' && kind !== 'wait';
  return {
    ...doneAfter(kind, history),
    background: isDone ? doneAfter(kind, background) : background,
  };
}

function doneAfter(last: Action['kind'], { interruption }: Done): Done {
  return { last, interruption: isInterruption(last) ? last : interruption };
}

/** Whether an action is no step, and not nothing. */
export function isInterruption(kind: Action['kind']): kind is Interruption {
  return kind in TURNS;
}

/** Whose turn it is after each. */
const TURNS: Record<Interruption, readonly Interruption[]> = {
  images: ['prefill-chunk', 'prefill', 'images'],
  prefill: ['images', 'prefill-chunk', 'prefill'],
  'prefill-chunk': ['prefill', 'images', 'prefill-chunk'],
};

/**
 * Running sequences get a step between any two other actions: a request that arrives delays a stream by one encode or one
 * chunk of a prompt at most. Of the other actions those that can be done take turns: neither a long prompt nor many images
 * hold up who waits for the other. Free slots are filled with as many groups at a time as fit.
 *
 * What somebody waits for goes before what is background work alone: that is done when nothing else can be, as between two steps of
 * a stream, and when it is due; and where others keep it from its share for long, one action at a time (`background-share.ts`).
 * @example
 * nextAction({ ...idle, running: 2, hasUrgentImage: true }, { ...NO_HISTORY, last: 'images' }).kind // 'step'
 */
export function nextAction(load: Load, history: History): Action {
  const { last, interruption } = history;
  const isBackground = !(load.running > 0 && load.isRunningUrgent);
  const step: Action = { kind: 'step', isBackground };
  if (!isBackground && last !== 'step') return step;
  const overdue = load.isBackgroundOverdue ? ofBackground(load, history.background) : null;
  if (overdue !== null) return { ...overdue, isBackground: true };
  const urgent = firstPossible(interruption, load, ['urgent']);
  if (urgent !== null) return { ...urgent, isBackground: false };
  if (!load.isBackgroundDue && !isBackground) return step;
  const rest = firstPossible(interruption, load, ['urgent', 'background']);
  if (!load.isBackgroundDue) {
    return { kind: load.running === 0 && rest === null ? 'wait' : 'rest', isBackground: true };
  }
  if (load.running > 0 && last !== 'step') return step;
  if (rest !== null) return { ...rest, isBackground: true };
  return load.running > 0 ? step : { kind: 'wait', isBackground: true };
}

/** Whether background work waits, and nothing of it is done with the steps of others. */
export function isBackgroundHeldUp(load: Load): boolean {
  const { hasBackgroundImage, hasBackgroundPrefill, waitingGroups, heldGroups } = load;
  if (hasBackgroundImage || hasBackgroundPrefill) return true;
  const isHolding = heldGroups.some((one) => one.isBackground);
  return isHolding ? !load.isRunningUrgent : waitingGroups.some((one) => one.isBackground);
}

/** What can be done of the background alone: by turns of its own, since all between two of its actions may have been of one kind. */
function ofBackground(load: Load, { last, interruption }: Done): Work | null {
  const step: Work | null = load.running > 0 && !load.isRunningUrgent ? { kind: 'step' } : null;
  if (step !== null && last !== 'step') return step;
  return firstPossible(interruption, load, ['background']) ?? step;
}

/** For whom something is done. */
type Whose = 'urgent' | 'background';

function firstPossible(
  interruption: Interruption,
  load: Load,
  whose: readonly Whose[],
): Work | null {
  for (const kind of TURNS[interruption]) {
    const action = possible(kind, load, whose);
    if (action !== null) return action;
  }
  return null;
}

function possible(kind: Interruption, load: Load, whose: readonly Whose[]): Work | null {
  const [isUrgent, isBackground] = [whose.includes('urgent'), whose.includes('background')];
  switch (kind) {
    case 'images': {
      const { hasUrgentImage, hasBackgroundImage } = load;
      return (isUrgent && hasUrgentImage) || (isBackground && hasBackgroundImage) ? { kind } : null;
    }
    case 'prefill-chunk': {
      const { hasUrgentPrefill, hasBackgroundPrefill } = load;
      const isPossible = (isUrgent && hasUrgentPrefill) || (isBackground && hasBackgroundPrefill);
      return isPossible ? { kind } : null;
    }
    case 'prefill': {
      const groups = beginningOf(load, whose);
      return groups.length > 0 ? { kind, groups } : null;
    }
  }
}

function beginningOf(load: Load, whose: readonly Whose[]): Beginning[] {
  const { waitingGroups, heldGroups } = load;
  // Where it finds no place, others do not take it.
  const ahead = groupAhead(waitingGroups, heldGroups, load);
  const indexes = [...waitingGroups.keys()].filter((index) => {
    const group = waitingGroups[index] as WaitingGroup;
    return group === ahead || whose.includes(group.isBackground ? 'background' : 'urgent');
  });
  const groups = indexes.map((index) => waitingGroups[index] as WaitingGroup);
  return beginningGroups(groups, heldGroups, load).map(({ index, ...place }) => {
    return { index: indexes[index] as number, ...place };
  });
}
