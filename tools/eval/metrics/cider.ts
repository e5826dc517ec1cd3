/** CIDEr-D (Vedantam et al. 2015, section 5): TF-IDF weighted n-grams, clipped, with a penalty for other lengths. */
import { type CaptionPair, MAX_N, mean, ngramCounts } from './ngrams.ts';

/** Standard deviation of the penalty, in words. */
const SIGMA = 6;
const SCALE = 10;

/** Of one n: weights of the n-grams, and their Euclidean norm. */
type Vector = { weights: Map<string, number>; norm: number };

/**
 * How rare an n-gram is comes from these references themselves, so the score of a few captions says little and is
 * not comparable with that of a whole data set; of one image alone it is 0.
 * @returns the score of each caption, usually written times 100; their mean is that of the corpus
 */
export function ciderD(pairs: readonly CaptionPair[]): number[] {
  const documents = documentFrequencies(pairs);
  const logDocuments = Math.log(pairs.length);
  const vectorsOf = (tokens: readonly string[]): Vector[] =>
    Array.from({ length: MAX_N }, (_, i) => {
      const weights = new Map<string, number>();
      for (const [ngram, count] of ngramCounts(tokens, i + 1)) {
        const frequency = Math.log(Math.max(1, documents.get(ngram) ?? 0));
        weights.set(ngram, count * (logDocuments - frequency));
      }
      return { weights, norm: Math.hypot(...weights.values()) };
    });
  return pairs.map(({ candidate, references }) => {
    const own = vectorsOf(candidate);
    const similarities = references.map((reference) => {
      const theirs = vectorsOf(reference);
      const penalty = Math.exp(
        -((lengthOf(candidate) - lengthOf(reference)) ** 2) / (2 * SIGMA ** 2),
      );
      return penalty * mean(own.map((vector, i) => clippedCosine(vector, theirs[i]!)));
    });
    return SCALE * mean(similarities);
  });
}

/** In the references of how many images each n-gram occurs. */
function documentFrequencies(pairs: readonly CaptionPair[]): Map<string, number> {
  const frequencies = new Map<string, number>();
  for (const { references } of pairs) {
    const ngrams = new Set<string>();
    for (const reference of references) {
      for (let n = 1; n <= MAX_N; n++) {
        for (const ngram of ngramCounts(reference, n).keys()) ngrams.add(ngram);
      }
    }
    for (const ngram of ngrams) frequencies.set(ngram, (frequencies.get(ngram) ?? 0) + 1);
  }
  return frequencies;
}

/** The reference implementation counts bigrams here, one fewer than words. */
function lengthOf(tokens: readonly string[]): number {
  return Math.max(0, tokens.length - 1);
}

function clippedCosine(candidate: Vector, reference: Vector): number {
  if (candidate.norm === 0 || reference.norm === 0) return 0;
  let product = 0;
  for (const [ngram, weight] of candidate.weights) {
    const other = reference.weights.get(ngram) ?? 0;
    product += Math.min(weight, other) * other;
  }
  return product / (candidate.norm * reference.norm);
}
