/** Checkpoints without a tokenizer.json give the ids of `transformers` (golden/make/slow_tokenizers.py). */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { composeTokenizer } from '@blip2/gpu-worker/builder/checkpoint/tokenizer-file';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

type Case = { family: 'opt' | 't5' | 'bert'; files: Record<string, string>; ids: number[][] };
const path = new URL('golden/tokenizers/slow-tokenizers.json.gz', import.meta.url);
const { texts, cases } = JSON.parse(gunzipSync(readFileSync(path)).toString()) as {
  texts: string[];
  cases: Case[];
};

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'blip2-slow-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function write(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(root, 'checkpoint-'));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text, name === 'spiece.model' ? 'base64' : 'utf8');
  }
  return folder;
}

/** Control tokens that the model's prompts have around a text. */
const FRAMES = { opt: [[2], []], t5: [[], [1]], bert: [[2], [3]] } as const;

describe.each(cases.map((one, i) => ({ ...one, i })))(
  'folder $i, of the family $family',
  ({ family, files, ids }) => {
    it('has a tokenizer.json in its bundle that gives the same ids', async () => {
      const { encode } = createTokenizer(await composeTokenizer(await write(files)));
      const [before, after] = FRAMES[family];
      const found = texts.map((text) => [...before, ...encode(text), ...after]);
      const different = found.flatMap((row, i) =>
        String(row) === String(ids[i]) ? [] : [{ text: texts[i], row, of: ids[i] }],
      );
      expect(different).toEqual([]);
    });
  },
);
