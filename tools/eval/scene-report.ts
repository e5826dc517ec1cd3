/** Tables of what was right about the test scenes, by artist. */
import { isRight, isUnchanged, type Outcome } from './outcome.ts';

const TITLES: readonly (readonly [Outcome['kind'], string])[] = [
  ['caption', 'captions, exact'],
  ['answer', 'answers, exact'],
  ['wording', 'in other words, exact'],
  ['no question', 'no question, its caption'],
  ['turn', 'in a conversation'],
  ['again', 'asked again, exact'],
];

/** A table for each kind, rows by group; the last says which questions that are asked again have another answer. */
export function sceneTables(outcomes: readonly Outcome[]): string[][][] {
  const artists = [...new Set(outcomes.map(({ scene }) => scene.artist))].toSorted();
  const table = (title: string, wanted: Outcome['kind'], isGood: (outcome: Outcome) => boolean) => {
    const row = (name: string, rows: readonly Outcome[]) => [
      name,
      percent(rows, isGood),
      ...artists.map((artist) =>
        percent(
          rows.filter(({ scene }) => scene.artist === artist),
          isGood,
        ),
      ),
      String(rows.length),
    ];
    const rows = outcomes.filter(({ kind }) => kind === wanted);
    const groups = [...Map.groupBy(rows, ({ group }) => group)];
    const body = groups.map(([name, group]) => row(name, group));
    return [[title, 'all', ...artists, 'n'], ...body, row('**all**', rows)];
  };
  return [
    ...TITLES.map(([kind, title]) => table(title, kind, isRight)),
    table('asked again, as the first time', 'again', isUnchanged),
  ];
}

/** A line for each wrong text. */
export function wrongOutcomes(outcomes: readonly Outcome[]): string[] {
  return outcomes
    .filter((outcome) => !isRight(outcome))
    .map(
      ({ scene, kind, prompt, expected, got }) =>
        `${scene.file}  ${kind}  ${prompt || '(caption)'}  expected "${expected}", got "${got}"`,
    );
}

export function percentRight(rows: readonly Outcome[]): string {
  return percent(rows, isRight);
}

function percent(rows: readonly Outcome[], isGood: (outcome: Outcome) => boolean): string {
  if (rows.length === 0) return '–';
  return `${((100 * rows.filter(isGood).length) / rows.length).toFixed(1)} %`;
}
