import { describe, expect, it } from 'vitest';
import { progressBar } from './progress-bar.ts';

function drawn(isTTY: boolean, done: readonly number[]): string[] {
  const written: string[] = [];
  const stream = { isTTY, columns: 40, write: (text: string) => written.push(text) > 0 };
  using bar = progressBar('Downloading a/b', stream);
  for (const each of done) bar.draw({ done: each, total: 200, label: `${each} of 200 files` });
  return written;
}

describe('the progress bar', () => {
  it('prints each tenth once where there is no terminal', () => {
    expect(drawn(false, [0, 1, 19, 20, 21, 199, 200])).toEqual([
      'Downloading a/b: 0 % 0 of 200 files\n',
      'Downloading a/b: 10 % 20 of 200 files\n',
      'Downloading a/b: 90 % 199 of 200 files\n',
      'Downloading a/b: 100 % 200 of 200 files\n',
    ]);
  });

  it('is one line on a terminal, no wider than it', () => {
    const [first, second, ...rest] = drawn(true, [50, 50, 100]);
    expect(first).toBe(`\r\x1b[2K${'█'.repeat(8)}${'░'.repeat(22)}  25 % 50`.trimEnd());
    expect(second).toBe(`\r\x1b[2K${'█'.repeat(15)}${'░'.repeat(15)}  50 % 10`);
    expect(rest).toEqual(['\r\x1b[2K']);
  });
});
