import { describe, expect, it } from 'vitest';
import { createStopFilter } from './stop-sequences.ts';

function filtered(stops: string[], pieces: string[]) {
  const filter = createStopFilter(stops);
  const shown: string[] = [];
  for (const piece of pieces) {
    const { text, isStopped } = filter.push(piece);
    shown.push(text);
    if (isStopped) return { shown, isStopped };
  }
  shown.push(filter.end());
  return { shown, isStopped: false };
}

describe('stop texts', () => {
  it.each<[string, string[], string[], string[], boolean]>([
    ['let a text through that has none', ['.'], ['a dog', ' on a'], ['a dog', ' on a', ''], false],
    ['end a text inside a piece', [' on'], ['a dog on a mat'], ['a dog'], true],
    ['end a text across pieces', ['on a'], ['a dog o', 'n', ' a mat'], ['a dog ', '', ''], true],
    ['hold back a beginning, no more', ['dog!'], ['a do', 'g', 's'], ['a ', '', 'dogs', ''], false],
    ['show what they held back at the end', ['dog!'], ['a dog'], ['a ', 'dog'], false],
    ['end at the first of several', ['mat', 'dog'], ['a dog on a mat'], ['a '], true],
    ['find one that begins inside a failed one', ['aab'], ['aaab'], ['a'], true],
  ])('%s', (_name, stops, pieces, shown, isStopped) => {
    expect(filtered(stops, pieces)).toEqual({ shown, isStopped });
  });

  it('cut the same place however the text is cut into pieces', () => {
    const text = 'aab aaab abab aabb end';
    for (const stops of [['aaab'], ['abab', 'bb'], ['never'], ['end', 'd']]) {
      const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
      const expected = text.slice(0, Math.min(text.length, ...ends));
      for (let size = 1; size <= text.length; size++) {
        const count = Math.ceil(text.length / size);
        const pieces = Array.from({ length: count }, (_, i) =>
          text.slice(i * size, (i + 1) * size),
        );
        expect(filtered(stops, pieces).shown.join('')).toBe(expected);
      }
    }
  });
});
