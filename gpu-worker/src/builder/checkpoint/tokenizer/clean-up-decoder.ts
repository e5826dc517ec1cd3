/** `clean_up_tokenization_spaces` of tokenizer_config.json, written into tokenizer.json as decoders, where it is in force. */
import { CLEAN_UP } from '@blip2/shared/tokenizer/clean-up';
import * as z from 'zod/mini';
import type { TokenizerConfig } from './token-files.ts';
import type { TokenizerJson } from './tokenizer-json.ts';

const Metaspace = z.looseObject({ type: z.literal('Metaspace') });

/**
 * The file as it decodes in `transformers`, which leaves texts of byte-level BPE alone whatever the setting, and decodes
 * none with a WordPiece.
 */
export function withCleanUp<File extends Pick<TokenizerJson, 'model'> & { decoder?: unknown }>(
  file: File,
  { clean_up_tokenization_spaces }: TokenizerConfig,
): File {
  const metaspace = Metaspace.safeParse(file.decoder).data;
  const isDone = clean_up_tokenization_spaces === true && file.model.type === 'Unigram';
  if (!isDone || metaspace === undefined) return file;
  const replacements = CLEAN_UP.map(([found, content]) => ({
    type: 'Replace',
    pattern: { String: found },
    content,
  }));
  const decoders = [metaspace, { type: 'Fuse' }, ...replacements];
  return { ...file, decoder: { type: 'Sequence', decoders } };
}
