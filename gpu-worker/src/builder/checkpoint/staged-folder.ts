/** A folder that stands for several: the small files of all, the later ones first, and files written for it. */
import { copyFile, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { qformerTokenizerFiles } from './qformer-tokenizer.ts';

/** Configs, tokenizers and papers; weights and their indexes stay where they are. */
const SMALL_FILE = /^(?!.*\.index\.json$).*\.(json|txt|model|md)$|^LICEN[CS]E/i;
const MAX_BYTES = 64 << 20;

export type StagedFolder = AsyncDisposable & { folder: string };

/** Where small files come from; all of them, or those of the given names. */
export type StageSource = { folder: string; files?: RegExp };

/**
 * @param sources the last has the last word
 * @param written texts of files, by name, that stand above all
 */
export async function stageFolder(
  sources: readonly StageSource[],
  written: Readonly<Record<string, string>> = {},
): Promise<StagedFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'blip2-checkpoint-'));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    for (const { folder: from, files = SMALL_FILE } of sources) {
      for (const file of [...(await readdir(from)), ...(await qformerTokenizerFiles(from))]) {
        if (!SMALL_FILE.test(file) || !files.test(file)) continue;
        const path = join(from, file);
        const found = await stat(path);
        if (!found.isFile() || found.size > MAX_BYTES) continue;
        await mkdir(dirname(join(folder, file)), { recursive: true });
        await copyFile(path, join(folder, file));
      }
    }
    for (const [file, text] of Object.entries(written)) await writeFile(join(folder, file), text);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { folder, [Symbol.asyncDispose]: dispose };
}
