/** How many workers there should be: pure, from what they have under way. */

export type ScalingRules = {
  least: number;
  most: number;
  /** Requests under way that one worker shall have. */
  target: number;
  /** Workers that are added at once, at most. */
  step: number;
  /** Time between two looks, ms. */
  everyMs: number;
  /** From the decision until a new worker takes requests, ms: a machine, its image, the model. */
  delayMs: number;
  /** So long less has to suffice before a worker is stopped, ms. */
  calmMs: number;
};

/**
 * Workers to have, those that are on their way included.
 * @param underWay requests, of all workers together
 * @param have workers, those on their way included
 * @example wanted({ underWay: 60, have: 5 }, { ...rules, target: 6 }) // 10
 */
export function wanted(
  { underWay, have }: { underWay: number; have: number },
  { least, most, target, step }: Pick<ScalingRules, 'least' | 'most' | 'target' | 'step'>,
): number {
  const needed = Math.min(most, Math.max(least, Math.ceil(underWay / target)));
  return Math.min(needed, have + step);
}
