/** Decides what the engine does next. Pure: numbers in, one action out. */

export type Load = {
  /** Jobs whose picture waits to be encoded. */
  waitingForEncode: number;
  /** Sequences whose embeddings are there and that wait for a slot. */
  waitingForPrefill: number;
  /** Sequences that hold a slot. */
  running: number;
  slots: number;
};

export type Action =
  | { kind: 'encode' }
  | { kind: 'prefill'; count: number }
  | { kind: 'step' }
  | { kind: 'wait' };

/**
 * Free slots are filled first, so that a batch is as large as it can be. Running sequences get a step between
 * any two other actions: nobody who arrives can hold up a stream for longer than one encode or one prefill.
 */
export function nextAction(load: Load, last: Action['kind']): Action {
  const mayInterrupt = load.running === 0 || last === 'step';
  if (mayInterrupt) {
    const count = Math.min(load.waitingForPrefill, load.slots - load.running);
    if (count > 0) return { kind: 'prefill', count };
    if (load.waitingForEncode > 0) return { kind: 'encode' };
  }
  return load.running > 0 ? { kind: 'step' } : { kind: 'wait' };
}
