import { expect, it } from 'vitest';
import { WarningCount } from './warnings.ts';

const line = (text: string, isGuess: boolean) => {
  const warnings = isGuess ? [{ type: 'outside-training', detail: 'It is a guess.' }] : undefined;
  return `${JSON.stringify({ id: 'a', result: { caption: text, warnings } })}\n`;
};

it('counts lines with the warning wherever the bytes are cut, and none whose text reads like it', () => {
  const mimic = '"type":"outside-training"';
  const all = [line('a dög', true), line(mimic, false), line('a cat', true)].join('');
  const bytes = Buffer.from(all);
  for (let size = 1; size < bytes.length; size += 7) {
    const count = new WarningCount('jsonl');
    for (let at = 0; at < bytes.length; at += size) count.see(bytes.subarray(at, at + size));
    expect(count.words()).toMatch(
      /^2 of the texts are guesses: .* \(warnings: outside-training\)\.$/,
    );
    expect(count.words({ isWhole: false })).toMatch(/^At least 2 /);
  }
});

it('counts rows of a table, and says nothing where there is nothing to say', () => {
  const count = new WarningCount('csv');
  count.see('id,cursor,status,caption,error,warnings\r\na,0:0,200,a dog,,\r\n');
  expect(count.words()).toBeUndefined();
  count.see('b,0:1,200,a cat,,outside-training\r\n');
  expect(count.words()).toMatch(/^1 of the texts is a guess: its image is unlike/);
});
