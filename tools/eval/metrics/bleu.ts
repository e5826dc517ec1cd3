/** BLEU-1 to BLEU-4 of a corpus (Papineni et al. 2002), with the reference that is closest in length. */
import { type CaptionPair, MAX_N, ngramCounts } from './ngrams.ts';

/**
 * Clipped precisions over all captions, their geometric mean up to each n, and one brevity penalty.
 * @returns BLEU-1 … BLEU-4, from 0 to 1
 */
export function corpusBleu(pairs: readonly CaptionPair[]): number[] {
  const matched = Array<number>(MAX_N).fill(0);
  const possible = Array<number>(MAX_N).fill(0);
  let candidateLength = 0;
  let referenceLength = 0;
  for (const { candidate, references } of pairs) {
    candidateLength += candidate.length;
    referenceLength += closestLength(candidate.length, references);
    for (let n = 1; n <= MAX_N; n++) {
      possible[n - 1]! += Math.max(0, candidate.length - n + 1);
      matched[n - 1]! += clippedMatches(candidate, references, n);
    }
  }
  const brevity =
    candidateLength >= referenceLength ? 1 : Math.exp(1 - referenceLength / candidateLength);
  let logPrecisions = 0;
  return matched.map((count, i) => {
    logPrecisions += Math.log(count / possible[i]!);
    // No match at all, or no n-gram: the mean is zero.
    return Number.isFinite(logPrecisions) ? brevity * Math.exp(logPrecisions / (i + 1)) : 0;
  });
}

/** Of two that are equally close, the shorter. */
function closestLength(length: number, references: CaptionPair['references']): number {
  const lengths = references.map((reference) => reference.length);
  const [closest = 0] = lengths.toSorted(
    (a, b) => Math.abs(a - length) - Math.abs(b - length) || a - b,
  );
  return closest;
}

function clippedMatches(
  candidate: readonly string[],
  references: CaptionPair['references'],
  n: number,
): number {
  const most = new Map<string, number>();
  for (const reference of references) {
    for (const [ngram, count] of ngramCounts(reference, n)) {
      most.set(ngram, Math.max(count, most.get(ngram) ?? 0));
    }
  }
  let matches = 0;
  for (const [ngram, count] of ngramCounts(candidate, n)) {
    matches += Math.min(count, most.get(ngram) ?? 0);
  }
  return matches;
}
