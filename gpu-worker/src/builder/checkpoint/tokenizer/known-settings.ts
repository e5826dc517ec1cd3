/** A key of a tokenizer's files that nothing here reads may mean other ids: it stops the build. */
import { CheckpointError } from '../../errors.ts';
import { isTokenKey, type TokenFiles, TokenizerConfig } from './token-files.ts';

/**
 * Keys that change no id, as transformers 4.27 to 5.18 write them: where the tokenizer comes from, how Python pads, cuts
 * and returns, and what chats look like.
 */
const IDLE = new Set([
  'backend',
  'chat_template',
  'device_map',
  'errors',
  'fix_mistral_regex',
  'from_slow',
  'full_tokenizer_file',
  'is_local',
  'local_files_only',
  'max_len',
  'max_length',
  'merges_file',
  'model_input_names',
  'model_max_length',
  'name_or_path',
  'pad_to_multiple_of',
  'pad_token_type_id',
  'padding',
  'padding_side',
  'processor_class',
  'return_token_type_ids',
  'slow_tokenizer_class',
  'spaces_between_special_tokens',
  'special_tokens_map_file',
  'stride',
  'tokenizer_file',
  'transformers_version',
  'trim_offsets',
  'truncation',
  'truncation_side',
  'truncation_strategy',
  'use_fast',
  'verbose',
  'vocab_file',
  'vocab_size',
]);

/**
 * @param ignored paths (`tokenizer_config.note`) of keys that someone knows to change nothing
 * @param place what these paths begin with, where that is not the name of the file
 * @throws CheckpointError naming every key that is not known and says something
 */
export function expectKnownSettings(
  { config, map }: TokenFiles,
  ignored: readonly string[],
  place?: string,
): void {
  const isSetting = (key: string) =>
    key in TokenizerConfig.shape || isTokenKey(key) || IDLE.has(key);
  const files = [
    { file: 'tokenizer_config', members: config, isKnown: isSetting },
    { file: 'special_tokens_map', members: map, isKnown: isTokenKey },
  ];
  for (const { file, members, isKnown } of files) {
    expectKnown(file, members, ignored, { place: place ?? file, isKnown });
  }
}

function expectKnown(
  file: string,
  members: Readonly<Record<string, unknown>>,
  ignored: readonly string[],
  { place, isKnown }: { place: string; isKnown: (key: string) => boolean },
): void {
  const unknown = Object.keys(members).filter(
    (key) => !isKnown(key) && !ignored.includes(`${place}.${key}`) && says(members[key]),
  );
  if (unknown.length === 0) return;
  const list = unknown.map((key) => `${key} = ${JSON.stringify(members[key])?.slice(0, 80)}`);
  const paths = [...ignored, ...unknown.map((key) => `${place}.${key}`)];
  throw new CheckpointError(
    `${file}.json: the builder does not know ${list.join(', ')}. ` +
      `If that changes no token of a text, set BLIP2_IGNORE_CONFIG=${paths.join(',')}; else the tokenizer is not supported.`,
  );
}

/** Null, false and what is empty leave everything as it is without them. */
function says(value: unknown): boolean {
  if (value === null || value === false || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}
