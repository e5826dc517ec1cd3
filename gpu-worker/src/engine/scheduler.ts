/** Decides what the engine does next. Pure: numbers in, one action out. */

export type Load = {
  /** Jobs whose picture waits to be encoded. */
  waitingForEncode: number;
  /** Slots that each job needs whose embeddings are there, first come first. */
  waitingForPrefill: readonly number[];
  /** Rows whose prompt is read in part. */
  reading: number;
  /** Rows that are being written. */
  running: number;
  /** Slots that no running job holds or may still ask for. */
  free: number;
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

/** Nobody overtakes: a job that needs many slots is not starved by those that need few. */
function fitting({ waitingForPrefill, free }: Load): number {
  let left = free;
  let count = 0;
  for (const slots of waitingForPrefill) {
    left -= slots;
    if (left < 0) break;
    count += 1;
  }
  return count;
}
