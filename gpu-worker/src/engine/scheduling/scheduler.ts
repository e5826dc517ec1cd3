/** Decides what the engine does next. Pure: numbers in, one action out. */

/** `slots` it needs, `positions` of the first piece of its prompt; background work yields. */
export type Waiting = { slots: number; positions: number; yields: boolean };

export type Load = {
  /** Jobs whose image waits to be encoded. */
  waitingForEncode: number;
  /** Jobs whose embeddings are there, the first in line first. */
  waitingForPrefill: readonly Waiting[];
  /** Rows whose prompt is read in part. */
  reading: number;
  /** Rows that are being written. */
  running: number;
  /** Slots that no running job holds or may still ask for. */
  free: number;
  /** Positions of several prompts that are read in one go. */
  atOnce: number;
};

export type Action =
  | { kind: 'images' }
  | { kind: 'read' }
  | { kind: 'prefill'; count: number }
  | { kind: 'step' }
  | { kind: 'wait' };

/**
 * Free slots are filled first, so that a batch is as large as it can be. Running sequences get a step between
 * any two other actions: nobody who arrives can hold up a stream for longer than one encode or one piece of a prompt.
 */
export function nextAction(load: Load, last: Action['kind']): Action {
  const mayInterrupt = load.running === 0 || last === 'step';
  if (mayInterrupt) {
    // What was begun comes first, and its pieces are not all in a row while others write.
    if (load.reading > 0) return { kind: 'read' };
    const count = fitting(load);
    if (count > 0) return { kind: 'prefill', count };
    if (load.waitingForEncode > 0) return { kind: 'images' };
  }
  return load.running > 0 ? { kind: 'step' } : { kind: 'wait' };
}

/**
 * Nobody overtakes: a job that needs many slots is not starved by those that need few. Background work leaves one slot
 * to whoever comes next, unless it needs them all. Prompts of more than a few positions in all are read in turns: in one go
 * they would take as long, and the first would wait for the last.
 */
function fitting({ waitingForPrefill, free, running, reading, atOnce }: Load): number {
  let left = free;
  let held = running + reading;
  let read = 0;
  for (const [count, { slots, positions, yields }] of waitingForPrefill.entries()) {
    left -= slots;
    read += positions;
    if (left < (yields && held > 0 ? 1 : 0)) return count;
    if (count > 0 && read > atOnce) return count;
    held += slots;
  }
  return waitingForPrefill.length;
}
