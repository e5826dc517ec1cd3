/**
 * Canonical decomposition (NFD) in the time that a text's length takes. The platform sorts the marks behind a letter by insertion: of
 * very many in the wrong order each walks past all others, and one kilobyte, compressed, would take seconds.
 */

/** Most marks in a row that are left to the platform. */
const FEW = 32;
/** With the letter in front of them, which may have marks of its own. Only marks are ever put in another order. */
const MANY_MARKS = new RegExp(`\\P{M}?\\p{M}{${FEW + 1},}`, 'gu');

/** The same as `text.normalize('NFD')`. */
export function decompose(text: string): string {
  let done = 0;
  const parts: string[] = [];
  for (const { 0: run, index } of text.matchAll(MANY_MARKS)) {
    parts.push(text.slice(done, index).normalize('NFD'), decomposeRun(run));
    done = index + run.length;
  }
  parts.push(text.slice(done).normalize('NFD'));
  return parts.join('');
}

function decomposeRun(run: string): string {
  let decomposed = '';
  /** Marks in a row that may change places. */
  let marks: string[] = [];
  const flush = () => {
    decomposed += inOrder(marks).join('');
    marks = [];
  };
  const starters = new Map<string, boolean>();
  for (const whole of run) {
    for (const character of whole.normalize('NFD')) {
      const isStarter = starters.get(character) ?? staysInPlace(character);
      starters.set(character, isStarter);
      if (isStarter) {
        flush();
        decomposed += character;
      } else marks.push(character);
    }
  }
  flush();
  return decomposed;
}

/** Of the lowest combining class and of the highest: between them each mark that has a class changes places. */
const [LOWEST, HIGHEST] = ['\u0334', '\u0345'];

function staysInPlace(character: string): boolean {
  return !isBefore(character, HIGHEST) && !isBefore(LOWEST, character);
}

/** Whether a mark has a lower combining class, so that it is put in front of the other. */
function isBefore(mark: string, other: string): boolean {
  const wrong = other + mark;
  return wrong.normalize('NFD') !== wrong;
}

/** By combining class; those of one class stay as they are. What is compared are the different ones, some hundreds at most. */
function inOrder(marks: readonly string[]): string[] {
  const different = [...new Set(marks)].sort((a, b) =>
    isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0,
  );
  const rows: string[][] = [];
  const rowOf = new Map<string, string[]>();
  for (const [i, mark] of different.entries()) {
    const before = different[i - 1];
    if (before === undefined || isBefore(before, mark)) rows.push([]);
    rowOf.set(mark, rows.at(-1) ?? []);
  }
  for (const mark of marks) rowOf.get(mark)?.push(mark);
  return rows.flat();
}
