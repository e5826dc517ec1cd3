/** The word that somebody probably meant. */

/**
 * The known word nearest to a mistyped one, or one that begins with it; undefined where none is near.
 * @example nearest('prot', ['port', 'host']) // 'port'
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const [first] = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ candidate, distance }) => {
      return distance <= 2 || (word.length > 2 && candidate.startsWith(word));
    })
    .sort((a, b) => a.distance - b.distance);
  return first?.candidate;
}

/** Fewest letters to insert, delete or replace that make one word the other (Levenshtein). */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] as number) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
