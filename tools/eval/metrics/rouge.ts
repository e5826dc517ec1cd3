/** ROUGE-L (Lin 2004) as coco-caption computes it: the best precision and the best recall over the references. */
import type { CaptionPair } from './ngrams.ts';

/** Weight of recall. */
const BETA = 1.2;

/** @returns F-measure of the longest common subsequence, from 0 to 1 */
export function rougeL({ candidate, references }: CaptionPair): number {
  let precision = 0;
  let recall = 0;
  for (const reference of references) {
    const common = longestCommonSubsequence(candidate, reference);
    precision = Math.max(precision, common / Math.max(1, candidate.length));
    recall = Math.max(recall, common / Math.max(1, reference.length));
  }
  if (precision === 0 || recall === 0) return 0;
  return ((1 + BETA ** 2) * precision * recall) / (recall + BETA ** 2 * precision);
}

function longestCommonSubsequence(a: readonly string[], b: readonly string[]): number {
  let previous = Array<number>(b.length + 1).fill(0);
  for (const token of a) {
    const row = [0];
    for (const [j, other] of b.entries()) {
      row.push(token === other ? previous[j]! + 1 : Math.max(previous[j + 1]!, row[j]!));
    }
    previous = row;
  }
  return previous[b.length]!;
}
