/** The files of the second tokenizer of an InstructBLIP checkpoint, that of its Q-Former. */

export const QFORMER_TOKENIZER = 'qformer_tokenizer';

/** Paths within a checkpoint of all files that it is read from, in any version of `transformers`. */
export const QFORMER_TOKENIZER_FILES: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.txt',
].map((file) => `${QFORMER_TOKENIZER}/${file}`);
