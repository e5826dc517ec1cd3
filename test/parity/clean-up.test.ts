/** Texts of a checkpoint that says `clean_up_tokenization_spaces` are those of `transformers` (golden/make/clean_up.py). */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { composeTokenizer } from '@blip2/gpu-worker/builder/checkpoint/tokenizer-file';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Case = { files: Record<string, string>; rows: number[][]; texts: string[] };
const path = new URL('golden/tokenizers/clean-up.json.gz', import.meta.url);
const cases: Case[] = JSON.parse(gunzipSync(readFileSync(path)).toString());

const folder = temporaryFolder('test');

const named = cases.map(({ files, ...golden }) => {
  const { tokenizer_class, clean_up_tokenization_spaces: setting } = JSON.parse(
    files['tokenizer_config.json'] ?? '',
  );
  return { name: `${tokenizer_class}, ${setting}`, files, ...golden };
});

/** As the edge streams it, whose own tests have the characters that tokens cut. */
function textOf({ bytesOf, createRewriter }: ReturnType<typeof createTokenizer>, row: number[]) {
  const decoder = new TextDecoder();
  const rewriter = createRewriter?.();
  const parts = row.map((id) => decoder.decode(bytesOf(id), { stream: true }));
  const written = parts.map((part) => rewriter?.push(part) ?? part);
  return [...written, rewriter?.end() ?? ''].join('').trim();
}

it.each(named)('the texts of $name', async ({ files, rows, texts }) => {
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const tokenizer = createTokenizer(await composeTokenizer(folder));
  const different = rows.flatMap((row, i) => {
    const text = textOf(tokenizer, row);
    return text === texts[i]?.trim() ? [] : [{ row, text, of: texts[i] }];
  });
  expect(different).toEqual([]);
});

it('the goldens tell cleaned texts from others', () => {
  const [on, , off] = cases;
  const found = (golden: Case | undefined) =>
    golden?.texts.filter((text) => / [.?!,]| n't/.test(text)).length ?? 0;
  expect(found(off)).toBeGreaterThan(100);
  expect(found(on)).toBeLessThan(20);
});
