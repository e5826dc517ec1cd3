import { describe, expect, it } from 'vitest';
import { statusLine } from './status-line.ts';

function lines(texts: readonly string[]): string[] {
  const written: string[] = [];
  const stream = { isTTY: false, write: (text: string) => written.push(text) > 0 };
  const line = statusLine(stream as unknown as NodeJS.WriteStream);
  for (const text of texts) line.update(text);
  return written.map((text) => text.trimEnd());
}

describe('the status line where there is no terminal', () => {
  it('prints a line that counts once for each tenth, whatever the units', () => {
    expect(
      lines([
        'Downloading a/blip2: 1 % 9.9 MB of 1 GB, 999 kB/s, 17 min left',
        'Downloading a/blip2: 2 % 20 MB of 1 GB, 1 MB/s, 59 s left',
        'Downloading a/blip2: 12 % 120 MB of 1 GB, 1 MB/s, 50 s left',
        'Building the bundle: 15 % vision graph',
      ]).map((text) => text.slice(0, 24)),
    ).toEqual(['Downloading a/blip2: 1 %', 'Downloading a/blip2: 12 ', 'Building the bundle: 15 ']);
  });

  it('prints a step without a count once', () => {
    expect(lines(['Loading 1', 'Loading 2', 'Starting'])).toEqual(['Loading 1', 'Starting']);
  });
});
