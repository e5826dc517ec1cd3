/** Whether an image is unlike all that a model was trained on, by what its query embeddings show. */
import type { OutsideTraining } from './bundle-manifest.ts';

/**
 * A linear classifier of the mean over the queries, some microseconds: what is above the threshold is outside.
 * @param embeddings of one image, float32 [queries, hidden]
 */
export function isOutsideTraining(
  { weights, threshold }: OutsideTraining,
  embeddings: Float32Array,
): boolean {
  return scoreOf(weights, embeddings) > threshold;
}

function scoreOf(weights: readonly number[], embeddings: Float32Array): number {
  const hidden = weights.length;
  let sum = 0;
  for (let i = 0; i < embeddings.length; i++) {
    sum += (weights[i % hidden] as number) * (embeddings[i] as number);
  }
  return sum / (embeddings.length / hidden);
}
