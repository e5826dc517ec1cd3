import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStopFilter } from './stop-sequences.ts';

function filtered(stops: readonly string[], deltas: readonly string[]) {
  const filter = createStopFilter(stops);
  const emitted: string[] = [];
  for (const delta of deltas) {
    const { text, isStopped } = filter.push(delta);
    emitted.push(text);
    if (isStopped) return { emitted, isStopped };
  }
  emitted.push(filter.end());
  return { emitted, isStopped: false };
}

describe('stop sequences', () => {
  it.each<[string, string[], string[], string[], boolean]>([
    ['let a text through that has none', ['.'], ['a dog', ' on a'], ['a dog', ' on a', ''], false],
    ['end a text inside a delta', [' on'], ['a dog on a mat'], ['a dog'], true],
    ['end a text across deltas', ['on a'], ['a dog o', 'n', ' a mat'], ['a dog ', '', ''], true],
    ['hold back a beginning, no more', ['dog!'], ['a do', 'g', 's'], ['a ', '', 'dogs', ''], false],
    ['emit what they held back at the end', ['dog!'], ['a dog'], ['a ', 'dog'], false],
    ['end a text at the first of several', ['mat', 'dog'], ['a dog on a mat'], ['a '], true],
    ['are found where one begins inside a failed one', ['aab'], ['aaab'], ['a'], true],
  ])('%s', (_name, stops, deltas, emitted, isStopped) => {
    expect(filtered(stops, deltas)).toEqual({ emitted, isStopped });
  });

  const letters = fc.constantFrom('a', 'b', 'c');
  const stopSequences = fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 4 }), {
    maxLength: 4,
  });
  const deltas = fc.array(fc.string({ unit: letters, maxLength: 4 }), { maxLength: 10 });

  it('cut any text before the first of them, however it is cut into deltas', () => {
    fc.assert(
      fc.property(stopSequences, deltas, (stops, parts) => {
        const text = parts.join('');
        const starts = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
        const { emitted, isStopped } = filtered(stops, parts);
        expect(isStopped).toBe(starts.length > 0);
        // Of two that overlap, the one that is complete first ends the text.
        const whole = emitted.join('');
        expect(text.startsWith(whole)).toBe(true);
        expect(stops.some((stop) => whole.includes(stop))).toBe(false);
        if (!isStopped) expect(whole).toBe(text);
      }),
    );
  });

  it('cut any text at the same place in whatever deltas of one character', () => {
    fc.assert(
      fc.property(stopSequences, deltas, (stops, parts) => {
        const text = parts.join('');
        const { emitted } = filtered(stops, [...text]);
        const ends = stops.flatMap((stop) => {
          const start = text.indexOf(stop);
          return start < 0 ? [] : [{ start, end: start + stop.length }];
        });
        const firstEnd = Math.min(...ends.map(({ end }) => end));
        const starts = ends.filter(({ end }) => end === firstEnd).map(({ start }) => start);
        const expected = ends.length === 0 ? text : text.slice(0, Math.min(...starts));
        expect(emitted.join('')).toBe(expected);
      }),
    );
  });
});
