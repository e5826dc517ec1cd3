/** Decides what the engine does next. Pure: a snapshot of the load in, one action out. */

/** A group that waits for slots. Background work leaves room for the next interactive request. */
export type WaitingGroup = {
  readonly slots: number;
  /** Positions that the first chunk of its prompt computes. */
  readonly chunkPositions: number;
  readonly isBackground: boolean;
};

export type Load = {
  /** Jobs that wait for work on their image or texts. */
  waitingImages: number;
  /** Groups whose query embeddings are computed, in the order in which they get slots. */
  waitingGroups: readonly WaitingGroup[];
  /** Sequences whose prompt is computed in part. */
  prefilling: number;
  /** Sequences that get a token with each decode step. */
  running: number;
  /** Slots that no group holds or may still ask for. */
  freeSlots: number;
  /** Positions that the first chunks of several prompts may have together. */
  chunkTokens: number;
};

export type Action =
  /** One work item of the image queue: an image to encode, or a few texts to compare. */
  | { kind: 'images' }
  /** The first chunks of the first `count` waiting groups. */
  | { kind: 'prefill'; count: number }
  /** The next chunk of a prompt that is computed in part. */
  | { kind: 'prefill-chunk' }
  /** A token for every running sequence. */
  | { kind: 'step' }
  | { kind: 'wait' };

/**
 * Free slots are filled first, so that a batch is as large as it can be. Running sequences get a step between
 * any two other actions: a request that arrives delays a stream by one encode or one chunk of a prompt at most.
 * @param last the action before
 * @example nextAction({ ...idle, running: 2, waitingImages: 1 }, 'images') // { kind: 'step' }
 */
export function nextAction(load: Load, last: Action['kind']): Action {
  const mayInterrupt = load.running === 0 || last === 'step';
  if (mayInterrupt) {
    // A prompt that was begun comes first; while others run, steps come between its chunks.
    if (load.prefilling > 0) return { kind: 'prefill-chunk' };
    const count = fittingGroups(load);
    if (count > 0) return { kind: 'prefill', count };
    if (load.waitingImages > 0) return { kind: 'images' };
  }
  return load.running > 0 ? { kind: 'step' } : { kind: 'wait' };
}

/**
 * How many waiting groups begin now. Groups never overtake each other: those that need few slots do not starve one that
 * needs many. Background work leaves one slot free for the next request, unless it needs them all. Prompts of more than
 * `chunkTokens` positions in all are computed in several passes: one pass would take as long, and the first prompt would
 * wait for the last.
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
