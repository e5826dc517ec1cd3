/**
 * Makes the tokenizer.json of a checkpoint that has the files of older versions of `transformers` only, as today's
 * version makes it of them: `vocab.json` and `merges.txt` (OPT), `spiece.model` (T5), or `vocab.txt` (BERT).
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readRegular, readText } from '../../../regular-file.ts';
import { CheckpointError } from '../../errors.ts';
import { readJson } from '../read-json.ts';
import { readSentencePiece } from './sentencepiece.ts';
import { expectCount, expectTokensInBounds, MAX_TOKENS, shownToken } from './token-bounds.ts';
import type { TokenFiles, TokenizerConfig } from './token-files.ts';
import { TokenizerJson } from './tokenizer-json.ts';

export type Family = 'opt' | 't5' | 'bert';

type Slow = {
  files: readonly string[];
  /** Classes whose tokenizer is this one; others cut texts otherwise. */
  classes: RegExp;
  /** Tokens with a role where tokenizer_config.json says nothing of it. */
  roles: Readonly<Record<string, string>>;
  read: (folder: string, files: TokenFiles) => Promise<object>;
};

const ENDOFTEXT = '<|endoftext|>';
const SLOW: Record<Family, Slow> = {
  opt: {
    files: ['vocab.json', 'merges.txt'],
    classes: /^(GPT2Tokenizer|PreTrainedTokenizer)(Fast)?$|^TokenizersBackend$/,
    roles: { bos_token: ENDOFTEXT, eos_token: ENDOFTEXT, unk_token: ENDOFTEXT },
    read: readByteLevel,
  },
  t5: {
    files: ['spiece.model'],
    classes: /^(T5Tokenizer|PreTrainedTokenizer)(Fast)?$|^TokenizersBackend$/,
    roles: { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' },
    read: readUnigram,
  },
  bert: {
    files: ['vocab.txt'],
    classes: /^(BertTokenizer|PreTrainedTokenizer)(Fast)?$|^TokenizersBackend$/,
    roles: {
      unk_token: '[UNK]',
      sep_token: '[SEP]',
      pad_token: '[PAD]',
      cls_token: '[CLS]',
      mask_token: '[MASK]',
    },
    read: readWordPiece,
  },
};

/**
 * The tokenizer.json, and the roles of its tokens.
 * @throws CheckpointError naming the files that are missing, or the setting that is not supported
 */
export async function readSlowTokenizer(
  folder: string,
  family: Family,
  files: TokenFiles,
): Promise<{ json: TokenizerJson; roles: TokenFiles['roles'] }> {
  const slow = SLOW[family];
  const present = await readdir(folder);
  const missing = slow.files.filter((name) => !present.includes(name));
  if (missing.length > 0) {
    const made = slow.files.join(' and ');
    throw new CheckpointError(
      `${folder} lacks tokenizer.json; it could be made of ${made}, but there is no ${missing.join(' and no ')} either.`,
    );
  }
  const { tokenizer_class } = files.config;
  const path = join(folder, 'tokenizer_config.json');
  if (tokenizer_class != null && !slow.classes.test(tokenizer_class)) {
    throw new CheckpointError(`${path}: tokenizer_class ${tokenizer_class} is not supported.`);
  }
  const roles = new Map(Object.entries(slow.roles));
  for (const [role, token] of files.roles) roles.set(role, token);
  for (const role of Object.keys(slow.roles)) if (files.config[role] === null) roles.delete(role);
  const content = await slow.read(folder, { ...files, roles });
  expectTokensInBounds(content, slow.files.map((name) => join(folder, name)).join(' and '));
  const json = TokenizerJson.safeParse(content);
  if (!json.success) {
    throw new CheckpointError(`${join(folder, slow.files[0] ?? '')} is no vocabulary of its kind.`);
  }
  return { json: json.data, roles };
}

/** The setting of tokenizer_config.json must be that, or must not be there. */
function expectSetting(folder: string, config: TokenizerConfig, key: string, isFine: boolean) {
  if (isFine) return;
  const value = JSON.stringify(config[key]);
  throw new CheckpointError(
    `${join(folder, 'tokenizer_config.json')}: ${key} ${value} is not supported.`,
  );
}

const WHOLE = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
};

/** Control tokens around a text, given with their ids; null where one has none: then config.json has the last word. */
function template(
  before: readonly [token: string, id: number | undefined][],
  after: readonly [token: string, id: number | undefined][],
): object | null {
  const all = [...before, ...after];
  if (all.length === 0 || all.some(([, id]) => id === undefined)) return null;
  const special = ([id]: readonly [string, unknown]) => ({ SpecialToken: { id, type_id: 0 } });
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    type: 'TemplateProcessing',
    single: [...before.map(special), text('A'), ...after.map(special)],
    pair: [...before.map(special), text('A'), text('B'), ...after.map(special)],
    special_tokens: Object.fromEntries(
      all.map(([token, id]) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}

async function readByteLevel(folder: string, { config, roles }: TokenFiles): Promise<object> {
  const path = join(folder, 'vocab.json');
  const content = await readJson(path);
  expectTokensInBounds({ model: { vocab: content } }, path);
  const vocab = z.record(z.string(), z.int()).safeParse(content).data;
  if (vocab === undefined) throw new CheckpointError(`${path} is no vocabulary.`);
  const merges = await readMerges(join(folder, 'merges.txt'));
  const add_prefix_space = config.add_prefix_space ?? false;
  const bos = roles.get('bos_token') ?? '';
  return {
    ...WHOLE,
    post_processor: config.add_bos_token === true ? template([[bos, vocab[bos]]], []) : null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space, trim_offsets: true, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}

/** A pair of pieces a line, those that were learned first in front. */
async function readMerges(path: string): Promise<string[][]> {
  const lines = (await readText(path)).split(/\r?\n/);
  const merges = lines
    .filter((line) => line !== '' && !line.startsWith('#version'))
    .map((line) => line.split(' '));
  const wrong = merges.find((pair) => pair.length !== 2);
  if (wrong === undefined) return merges;
  throw new CheckpointError(`${path}: "${shownToken(wrong.join(' '))}" is no merge.`);
}

async function readUnigram(folder: string, files: TokenFiles): Promise<object> {
  const { config, listed, added, roles } = files;
  const model = readSentencePiece(
    await readRegular(join(folder, 'spiece.model')),
    join(folder, 'spiece.model'),
  );
  const isSampled = Object.keys(config.sp_model_kwargs ?? {}).length > 0;
  expectSetting(folder, config, 'sp_model_kwargs', !isSampled);
  expectSetting(folder, config, 'add_prefix_space', config.add_prefix_space !== false);
  const extraIds = config.extra_ids ?? 100;
  const sentinels = listed.filter((token) => token.includes('<extra_id_'));
  const isCounted = sentinels.length === 0 || extraIds === 0 || sentinels.length === extraIds;
  expectSetting(folder, { ...config, extra_ids: extraIds }, 'extra_ids', isCounted);
  // Where this is false a word gets no mark behind an added token; `transformers` has done either.
  const hasWords =
    added.size > 0 ||
    model.userDefined.length > 0 ||
    Object.values(config.added_tokens_decoder ?? {}).some(({ special }) => special !== true) ||
    listed.length > sentinels.length;
  expectSetting(folder, config, 'legacy', config.legacy !== false || !hasWords);

  const ids = new Map(model.pieces.map(([piece], id) => [piece, id]));
  const eos = roles.get('eos_token') ?? '';
  const token = (content: string, special: boolean) => ({
    id: ids.get(content) ?? 0,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special,
  });
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
  const extras = Array.from({ length: extraIds }, (_, i) => `<extra_id_${extraIds - 1 - i}>`);
  return {
    ...WHOLE,
    added_tokens: [
      ...model.controls.map((piece) => token(piece, true)),
      ...model.userDefined.map((piece) => token(piece, false)),
      ...extras.map((piece, i) => ({ ...token(piece, true), id: model.pieces.length + i })),
    ].toSorted((a, b) => a.id - b.id),
    post_processor: template([], [[eos, ids.get(eos)]]),
    normalizer:
      model.charsmap === null
        ? null
        : { type: 'Precompiled', precompiled_charsmap: model.charsmap },
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
    decoder: metaspace,
    model: {
      type: 'Unigram',
      unk_id: model.unknownId,
      vocab: [...model.pieces, ...extras.map((piece) => [piece, 0])],
      byte_fallback: false,
    },
  };
}

async function readWordPiece(folder: string, { config, roles }: TokenFiles): Promise<object> {
  expectSetting(folder, config, 'do_basic_tokenize', config.do_basic_tokenize !== false);
  expectSetting(folder, config, 'never_split', (config.never_split ?? []).length === 0);
  const lines = (await readText(join(folder, 'vocab.txt'))).split('\n');
  if (lines.at(-1) === '') lines.pop();
  expectCount('the list of words', lines.length, MAX_TOKENS, join(folder, 'vocab.txt'));
  const vocab = Object.fromEntries(lines.map((line, id) => [line.trimEnd(), id]));
  const [cls, sep] = [roles.get('cls_token') ?? '', roles.get('sep_token') ?? ''];
  return {
    ...WHOLE,
    post_processor: template([[cls, vocab[cls]]], [[sep, vocab[sep]]]),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: roles.get('unk_token') ?? '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}
