/** The most likely pieces of a word: SentencePiece's unigram language model, as `tokenizers` computes it. */

/** How much less likely than the least likely piece a character without a piece is. */
const UNKNOWN_PENALTY = 10;

/**
 * @param vocab pieces and their log probabilities, by id
 * @returns ids of a word; characters in a row that have no piece are one unknown token
 */
export function mostLikelyPieces(
  vocab: readonly (readonly [piece: string, score: number])[],
  unknown: number,
): (word: string) => number[] {
  // Of pieces that read the same the last counts.
  const idOf = new Map(vocab.map(([piece], id) => [piece, id]));
  const scores = vocab.map(([, score]) => score);
  const least = scores.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const unknownScore = least - UNKNOWN_PENALTY;
  const longest = vocab.reduce((length, [piece]) => Math.max(length, piece.length), 1);

  return (word) => {
    /** Of the best path to each end: its score, and its last piece. Undefined where no path ends. */
    const total: (number | undefined)[] = [0];
    const start: number[] = [];
    const last: number[] = [];
    const offer = (from: number, to: number, id: number, score: number) => {
      const best = total[to];
      if (best !== undefined && score <= best) return;
      total[to] = score;
      start[to] = from;
      last[to] = id;
    };
    for (let from = 0; from < word.length; ) {
      const soFar = total[from] ?? 0;
      const character = (word.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
      let isKnown = false;
      for (let to = from + 1; to <= Math.min(from + longest, word.length); to++) {
        const id = idOf.get(word.slice(from, to));
        if (id === undefined) continue;
        offer(from, to, id, (scores[id] ?? 0) + soFar);
        isKnown ||= to === from + character;
      }
      if (!isKnown) offer(from, from + character, unknown, unknownScore + soFar);
      from += character;
    }
    return backwards(word, start, last, { idOf, unknown });
  };
}

/** Ids along the best path, found from its end. */
function backwards(
  word: string,
  start: readonly number[],
  last: readonly number[],
  { idOf, unknown }: { idOf: ReadonlyMap<string, number>; unknown: number },
): number[] {
  const ids: number[] = [];
  /** End of the unknown characters that are being gathered. */
  let unknownTo = -1;
  const closeUnknown = (from: number) => {
    if (unknownTo !== -1) ids.push(idOf.get(word.slice(from, unknownTo)) ?? unknown);
    unknownTo = -1;
  };
  let to = word.length;
  while (to > 0) {
    const from = start[to] ?? 0;
    const id = last[to] ?? unknown;
    if (id === unknown) {
      if (unknownTo === -1) unknownTo = to;
    } else {
      closeUnknown(to);
      ids.push(id);
    }
    to = from;
  }
  closeUnknown(0);
  return ids.reverse();
}
