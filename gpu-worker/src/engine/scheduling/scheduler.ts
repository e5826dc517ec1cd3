/** Decides what the engine does next. Pure: a snapshot of the load in, one action out. */
import {
  type Beginning,
  beginningGroups,
  type HeldGroup,
  type SlotLimits,
  type WaitingGroup,
} from './slot-share.ts';

export type Load = SlotLimits & {
  /** Jobs that wait for work on their image or texts. */
  waitingImages: number;
  /** Whether the first of them, whose turn it is, waits for somebody: background work stands behind. */
  isImageUrgent: boolean;
  /** Groups whose query embeddings are computed, in the order in which they get slots. */
  waitingGroups: readonly WaitingGroup[];
  heldGroups: readonly HeldGroup[];
  /** Sequences whose prompt is computed in part. */
  prefilling: number;
  /** Whether the one whose turn it is computes for somebody who waits. */
  isPrefillUrgent: boolean;
  /** Sequences that get a token with each decode step. */
  running: number;
  /** Whether one of these is no background work. */
  isRunningUrgent: boolean;
  /** Whether background work may have the engine now. */
  isBackgroundDue: boolean;
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

/** What was done: the last action, and the last that was no step. */
export type History = { last: Action['kind']; interruption: Interruption };

export function historyAfter({ kind: last }: Action, { interruption }: History): History {
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
 * a stream, and when it is due (`background-share.ts`).
 * @example
 * nextAction({ ...idle, running: 2, waitingImages: 1 }, { last: 'images', interruption: 'images' }).kind // 'step'
 */
export function nextAction(load: Load, { last, interruption }: History): Action {
  const isBackground = !(load.running > 0 && load.isRunningUrgent);
  const step: Action = { kind: 'step', isBackground };
  if (!isBackground && last !== 'step') return step;
  const urgent = firstPossible(interruption, urgentOf(load));
  if (urgent !== null) return { ...urgent, isBackground: false };
  if (!load.isBackgroundDue) {
    if (!isBackground) return step;
    const isIdle = load.running === 0 && firstPossible(interruption, load) === null;
    return { kind: isIdle ? 'wait' : 'rest', isBackground: true };
  }
  if (load.running > 0 && last !== 'step') return step;
  const rest = firstPossible(interruption, load);
  if (rest !== null) return { ...rest, isBackground: true };
  return load.running > 0 ? step : { kind: 'wait', isBackground: true };
}

/** What of it is no background work. */
function urgentOf(load: Load): Load {
  const { isImageUrgent, isPrefillUrgent, waitingImages, waitingGroups, prefilling } = load;
  const firstBackground = waitingGroups.findIndex(({ isBackground }) => isBackground);
  return {
    ...load,
    waitingImages: isImageUrgent ? waitingImages : 0,
    // Those of the background are the last.
    waitingGroups: firstBackground === -1 ? waitingGroups : waitingGroups.slice(0, firstBackground),
    prefilling: isPrefillUrgent ? prefilling : 0,
  };
}

function firstPossible(interruption: Interruption, load: Load): Work | null {
  for (const kind of TURNS[interruption]) {
    const action = possible(kind, load);
    if (action !== null) return action;
  }
  return null;
}

function possible(kind: Interruption, load: Load): Work | null {
  switch (kind) {
    case 'images':
      return load.waitingImages > 0 ? { kind } : null;
    case 'prefill-chunk':
      return load.prefilling > 0 ? { kind } : null;
    case 'prefill': {
      const groups = beginningGroups(load.waitingGroups, load.heldGroups, load);
      return groups.length > 0 ? { kind, groups } : null;
    }
  }
}
