/** The tokenizer of InstructBLIP's Q-Former: BERT's, in a folder of its own within the checkpoint and the bundle. */
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import { isAbsent } from '../../file-errors.ts';
import { QFORMER_TOKENIZER, QFORMER_TOKENIZER_FILES } from '../../qformer-tokenizer-files.ts';
import { CheckpointError } from '../errors.ts';
import { expectKnownSettings } from './tokenizer/known-settings.ts';
import { readTokenFiles } from './tokenizer/token-files.ts';
import { BERT, compose, readTokenizer } from './tokenizer-file.ts';

/** Its files that a checkpoint has. */
export async function qformerTokenizerFiles(checkpoint: string): Promise<string[]> {
  const names = await readdir(join(checkpoint, QFORMER_TOKENIZER)).catch((error: unknown) => {
    if (isAbsent(error)) return [];
    throw error;
  });
  const present = names.map((name) => `${QFORMER_TOKENIZER}/${name}`);
  return QFORMER_TOKENIZER_FILES.filter((file) => present.includes(file));
}

/** Of a manifest, what the tokenizer must fit. */
type Instructed = Pick<GenerativeManifest, 'name'> & {
  instruction: NonNullable<GenerativeManifest['instruction']>;
};

/**
 * The text of its `tokenizer.json`, as `composeTokenizer` makes the language model's.
 * @throws CheckpointError naming what is missing, damaged or at odds
 */
export async function composeQFormerTokenizer(checkpoint: string): Promise<string> {
  const folder = join(checkpoint, QFORMER_TOKENIZER);
  await access(folder).catch((cause) => {
    const detail = `${checkpoint} lacks the folder ${QFORMER_TOKENIZER}, the tokenizer of InstructBLIP's Q-Former`;
    throw new CheckpointError(`${detail}: copy it from where the checkpoint comes from.`, {
      cause,
    });
  });
  return await namingFolder(() => compose(folder, BERT));
}

/**
 * Expects that it cuts texts as the Q-Former needs them.
 * @param folder of the bundle
 * @param ignored paths of keys (`qformer_tokenizer.note`) that someone knows to change nothing
 * @throws CheckpointError naming the key, token or file that is not supported, or does not fit the model
 */
export async function checkQFormerTokenizer(
  folder: string,
  model: Instructed,
  ignored: readonly string[],
): Promise<void> {
  const files = await namingFolder(() => readTokenFiles(join(folder, QFORMER_TOKENIZER)));
  await namingFolder(async () => expectKnownSettings(files, ignored, QFORMER_TOKENIZER));
  await readQFormerTokenizer(folder, model);
}

/**
 * The text of its `tokenizer.json` in a bundle, once it is known to be of use.
 * @throws CheckpointError as `readTokenizer`
 */
export async function readQFormerTokenizer(
  bundle: string,
  { name, instruction: text }: Instructed,
): Promise<string> {
  const folder = join(bundle, QFORMER_TOKENIZER);
  return await namingFolder(() => readTokenizer(folder, { kind: 'retrieve', name, text }));
}

/** Errors of files there name their folder: the checkpoint has others of the same names. */
async function namingFolder<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const isNamed = error instanceof Error && error.message.includes(`${QFORMER_TOKENIZER}/`);
    if (!(error instanceof CheckpointError) || isNamed) throw error;
    throw new CheckpointError(`In ${QFORMER_TOKENIZER}: ${error.message}`, { cause: error });
  }
}
