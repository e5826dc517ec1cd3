/** Inputs that once did harm do none any more. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { replay } from '../../tools/fuzz/campaign.ts';
import { inputsIn } from '../../tools/fuzz/input-file.ts';
import { TARGETS } from '../../tools/fuzz/targets.ts';

const CORPUS = fileURLToPath(new URL('corpus', import.meta.url));

it('all kept inputs', { timeout: 900_000 }, async () => {
  const replayed = await replay(TARGETS, CORPUS);
  expect(replayed.filter((one) => 'violation' in one)).toEqual([]);
  expect(replayed.map(({ path }) => path)).toEqual(expect.arrayContaining(await inputsIn(CORPUS)));
});
