import { expect, it } from 'vitest';
import { openFilesIn } from './open-files.ts';

const limits = (
  files: string,
) => `Limit                     Soft Limit           Hard Limit           Units
Max processes             96000                96000                processes
${files}
Max locked memory         8388608              8388608              bytes
`;

it.each([
  ['Max open files            1024                 20000                files', 20_000],
  [
    'Max open files            1024                 unlimited            files',
    Number.POSITIVE_INFINITY,
  ],
  ['', null],
])('the hard limit counts: %s', (line, most) => {
  expect(openFilesIn(limits(line))).toBe(most);
});
