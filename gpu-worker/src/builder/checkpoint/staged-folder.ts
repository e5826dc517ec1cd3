/** A folder that stands for several: the small files of all, the later ones first, and files written for it. */
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isAbsent, naming } from '../../file-errors.ts';
import { QFORMER_TOKENIZER } from '../../qformer-tokenizer-files.ts';
import { readRegular } from '../../regular-file.ts';
import { qformerTokenizerFiles } from './qformer-tokenizer.ts';
import { holdsTokenizer, TOKENIZER_FILE } from './tokenizer/token-files.ts';

/** Configs, tokenizers and papers; weights and their indexes stay where they are. */
const SMALL_FILE = /^(?!.*\.index\.json$).*\.(json|txt|model|md)$|^LICEN[CS]E/i;
const MAX_BYTES = 64 << 20;

export type StagedFolder = AsyncDisposable & {
  folder: string;
  /** A message about this folder, said of those that its files come from. */
  explain: (message: string) => string;
};

/** Where small files come from; all of them, or those of the given names. */
export type StageSource = { folder: string; files?: RegExp };

/**
 * A tokenizer is one thing, however many files it has: one that is whole takes the place of that of an earlier source. So
 * is the Q-Former's, apart from the other.
 * @param sources the last has the last word
 * @param written texts of files, by name, that stand above all
 */
export async function stageFolder(
  sources: readonly StageSource[],
  written: Readonly<Record<string, string>> = {},
): Promise<StagedFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'blip2-checkpoint-'));
  const dispose = () => rm(folder, { recursive: true, force: true });
  const origins = new Map<string, string>();
  try {
    for (const source of sources) {
      const files = await smallFilesOf(source);
      for (const file of replacedBy(files, [...origins.keys()])) {
        origins.delete(file);
        await rm(join(folder, file));
      }
      for (const file of files) {
        origins.set(file, join(source.folder, file));
        const target = join(folder, file);
        await mkdir(dirname(target), { recursive: true });
        const bytes = await readRegular(join(source.folder, file), MAX_BYTES);
        await naming(target, () => writeFile(target, bytes));
      }
    }
    for (const [file, text] of Object.entries(written)) {
      const target = join(folder, file);
      await naming(target, () => writeFile(target, text));
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const all = sources.map((source) => source.folder).toReversed();
  const explain = (message: string) => {
    const named = [...origins].reduce(
      (text, [file, path]) => text.replaceAll(join(folder, file), path),
      message,
    );
    return named.replaceAll(folder, all.join(' with '));
  };
  return { folder, explain, [Symbol.asyncDispose]: dispose };
}

async function smallFilesOf({ folder, files = SMALL_FILE }: StageSource): Promise<string[]> {
  const small: string[] = [];
  for (const file of [...(await readdir(folder)), ...(await qformerTokenizerFiles(folder))]) {
    if (!SMALL_FILE.test(file) || !files.test(file)) continue;
    // An editor's lock is a link to nothing, and what is no file may have such a name too.
    const found = await stat(join(folder, file)).catch((error: unknown) => {
      if (isAbsent(error)) return null;
      throw error;
    });
    if (found?.isFile() && found.size <= MAX_BYTES) small.push(file);
  }
  return small;
}

/** Of the files that are there those of tokenizers that come anew, and whole. */
function replacedBy(files: readonly string[], there: readonly string[]): string[] {
  return ['', `${QFORMER_TOKENIZER}/`].flatMap((place) => {
    const within = (paths: readonly string[]) =>
      paths.filter((path) => path.startsWith(place)).map((path) => path.slice(place.length));
    if (!holdsTokenizer(within(files))) return [];
    return within(there)
      .filter((file) => TOKENIZER_FILE.test(file))
      .map((file) => place + file);
  });
}
