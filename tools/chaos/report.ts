/** The table of a run: what each caller saw, and what has to be zero. */
import { markdownTable } from 'markdown-table';
import { isGood, type Result } from './scenario.ts';

const HEAD = [
  'scenario',
  'what happens',
  'what callers saw',
  'work lost',
  'slots stuck',
  'wrong bytes',
  'longest call, s',
  's to recover',
];

export function tableOf(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const { name, about } = result;
    if ('skipped' in result) return [name, about, `skipped: ${result.skipped}`, '', '', '', '', ''];
    if ('broken' in result) return [name, about, `broken: ${result.broken}`, '', '', '', '', ''];
    const { saw, lost, stuck, wrong, longestSeconds, recoverySeconds } = result;
    const seen = saw.map(([label, count]) => `${count} × ${label}`).join(', ');
    const seconds = recoverySeconds === null ? 'never' : recoverySeconds.toFixed(1);
    // Scenarios without such calls have none.
    const longest = longestSeconds === 0 ? '' : longestSeconds.toFixed(1);
    return [name, about, seen, lost, stuck, wrong, longest, seconds].map(String);
  });
  return markdownTable([HEAD, ...rows], { align: ['l', 'l', 'l', 'r', 'r', 'r', 'r', 'r'] });
}

/** What is not as it has to be, a line each. */
export function faultsOf(results: readonly Result[]): string[] {
  return results
    .filter((result) => !isGood(result))
    .map((result) => {
      const details = 'details' in result ? result.details.join('; ') : '';
      return `${result.name}: not as it has to be${details === '' ? '' : ` (${details})`}`;
    });
}
