/** Counts of n-grams, and captions with those that people wrote of the same image. */

/** A generated caption and its references, as tokens. */
export type CaptionPair = {
  candidate: readonly string[];
  references: readonly (readonly string[])[];
};

/** Longest n-grams of BLEU and CIDEr. */
export const MAX_N = 4;

/** How often each n-gram occurs; the key is its tokens with spaces between them. */
export function ngramCounts(tokens: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let start = 0; start + n <= tokens.length; start++) {
    const ngram = tokens.slice(start, start + n).join(' ');
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

/** NaN where there is nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
