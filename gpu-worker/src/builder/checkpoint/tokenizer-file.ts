/** The tokenizer of a bundle, which its graphs do not need but a server does. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { createTokenizer } from '@blip2/shared/tokenizer';
import { CheckpointError } from '../errors.ts';

/** Which models `tokenizer.json` may hold. */
const KINDS = { generate: ['BPE', 'Unigram'], retrieve: ['WordPiece'] } as const;

/**
 * The content of a bundle's `tokenizer.json`.
 * @throws CheckpointError when it is damaged, or no tokenizer for this kind of model
 */
export async function readTokenizer(
  bundle: string,
  { kind, name }: Pick<BundleManifest, 'kind' | 'name'>,
): Promise<string> {
  const text = await readFile(join(bundle, 'tokenizer.json'), 'utf8');
  const fail = (why: string, cause?: unknown) =>
    new CheckpointError(`The tokenizer.json of ${name} ${why}.`, { cause });
  let type: string;
  try {
    type = createTokenizer(text).type;
  } catch (cause) {
    throw fail('is damaged, or of a kind that is not supported', cause);
  }
  const wanted: readonly string[] = KINDS[kind];
  if (!wanted.includes(type)) throw fail(`is of type ${type}, not ${wanted.join(' or ')}`);
  return text;
}
