/** What a task may need at most of its caller's limits. */
import type { GenerationConfig, GpuTask } from '@blip2/shared/wire';

/**
 * Tokens that the model reads: image positions and text of a generation, or the texts that are compared.
 * @param queryTokens image positions of the generative model
 */
export function promptTokens(task: GpuTask, queryTokens: number): number {
  switch (task.kind) {
    case 'generate':
      return queryTokens + task.input_ids.length;
    case 'match':
    case 'embed-texts':
      return textTokens(task.texts);
    case 'embed':
      return 0;
  }
}

/** @param texts token ids of each */
export function textTokens(texts: readonly (readonly number[])[]): number {
  return texts.reduce((sum, { length }) => sum + length, 0);
}

/** Tokens that can be generated at most, in all texts. */
export function mostGenerated({ n, max_tokens }: GenerationConfig): number {
  return n * max_tokens;
}
