/** Decides what the engine does next. Pure: a snapshot of the load in, one action out. */

/** A group that waits for slots. Background work yields to whoever comes next. */
export type WaitingGroup = {
  readonly slots: number;
  /** Positions that the first chunk of its prompt computes. */
  readonly chunkPositions: number;
  readonly isBackground: boolean;
};

export type Load = {
  /** Jobs that wait for work on their image or texts. */
  waitingImages: number;
  /** Groups whose query embeddings are there, the first in line first. */
  waitingGroups: readonly WaitingGroup[];
  /** Sequences whose prompt is read in part. */
  prefilling: number;
  /** Sequences that get a token with each decode step. */
  running: number;
  /** Slots that no group holds or may still ask for. */
  freeSlots: number;
  /** Positions that the first chunks of several prompts may have together. */
  chunkTokens: number;
};

export type Action =
  /** A piece of work on images: one encode, or a few texts to compare. */
  | { kind: 'images' }
  /** The first chunks of the first `count` waiting groups. */
  | { kind: 'prefill'; count: number }
  /** The next chunk of a prompt that is read in part. */
  | { kind: 'prefill-chunk' }
  /** A token for every running sequence. */
  | { kind: 'step' }
  | { kind: 'wait' };

/**
 * Free slots are filled first, so that a batch is as large as it can be. Running sequences get a step between
 * any two other actions: nobody who arrives can hold up a stream for longer than one encode or one chunk of a prompt.
 * @param last the action before
 * @example nextAction({ ...idle, running: 2, waitingImages: 1 }, 'images') // { kind: 'step' }
 */
export function nextAction(load: Load, last: Action['kind']): Action {
  const mayInterrupt = load.running === 0 || last === 'step';
  if (mayInterrupt) {
    // What was begun comes first, and its chunks are not all in a row while others run.
    if (load.prefilling > 0) return { kind: 'prefill-chunk' };
    const count = fittingGroups(load);
    if (count > 0) return { kind: 'prefill', count };
    if (load.waitingImages > 0) return { kind: 'images' };
  }
  return load.running > 0 ? { kind: 'step' } : { kind: 'wait' };
}

/**
 * How many waiting groups begin now. Nobody overtakes: a group that needs many slots is not starved by those that need
 * few. Background work leaves one slot to whoever comes next, unless it needs them all. Prompts of more than a few
 * positions in all are read in turns: in one pass they would take as long, and the first would wait for the last.
 */
function fittingGroups({
  waitingGroups,
  freeSlots,
  running,
  prefilling,
  chunkTokens,
}: Load): number {
  let left = freeSlots;
  let held = running + prefilling;
  let computed = 0;
  for (const [count, { slots, chunkPositions, isBackground }] of waitingGroups.entries()) {
    left -= slots;
    computed += chunkPositions;
    if (left < (isBackground && held > 0 ? 1 : 0)) return count;
    if (count > 0 && computed > chunkTokens) return count;
    held += slots;
  }
  return waitingGroups.length;
}
