/** From the logits of a pass to the next tokens of each group, whose failure is its own. */
import type { ChoiceTokens, StepOutput } from './decoding/strategy.ts';
import { expectFinite } from './finite.ts';
import type { Sequence, SequenceGroup } from './sequence.ts';

/** Outputs of the groups whose prompts are computed, and why those have failed that have. */
export type Choices = {
  outputs: Map<SequenceGroup, StepOutput>;
  failures: Map<SequenceGroup, unknown>;
};

/**
 * @param rows the sequence of each row of the pass
 * @param logits of each row, float32 [vocab]; undefined where there are none to go by
 * @param emit gets the tokens of a group that are final now, once for each of its choices
 */
export function chooseTokens(
  rows: readonly (Sequence | null)[],
  logits: readonly (Float32Array | undefined)[],
  emit: (group: SequenceGroup, tokens: ChoiceTokens) => void,
): Choices {
  const outputs: Choices['outputs'] = new Map();
  const failures: Choices['failures'] = new Map();
  const rowOf = new Map(rows.map((sequence, row) => [sequence, row]));
  const groups = new Set(rows.flatMap((sequence) => sequence?.group ?? []));
  for (const group of groups) {
    try {
      const own = group.sequences.map((one) => logits[rowOf.get(one) as number] as Float32Array);
      // Of a chunk as well: what it has written would be read by all that follow.
      for (const row of own) expectFinite(row, 'logits');
      if (group.sequences.some(({ isPrefilled }) => !isPrefilled)) continue;
      const output = group.strategy.advance(own);
      for (const choice of output.emitted) if (choice.tokens.length > 0) emit(group, choice);
      outputs.set(group, output);
    } catch (thrown) {
      failures.set(group, thrown);
    }
  }
  return { outputs, failures };
}
