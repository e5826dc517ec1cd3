/** What the files beside tokenizer.json say of a checkpoint's tokens, as `transformers` reads them. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { parseOrThrow } from '../../config/schema-helpers.ts';
import { CheckpointError } from '../../errors.ts';
import { readJson } from '../read-json.ts';
import { expectTokensInBounds, shownToken } from './token-bounds.ts';

/** Names of all files that a tokenizer is saved in, in any version of `transformers`. */
export const TOKENIZER_FILE =
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json$|^(merges|vocab)\.txt$|^spiece\.model$/;

/** Each is enough to make a tokenizer of. */
const VOCABULARIES = [
  ['tokenizer.json'],
  ['vocab.json', 'merges.txt'],
  ['spiece.model'],
  ['vocab.txt'],
];

export function holdsTokenizer(names: readonly string[]): boolean {
  return VOCABULARIES.some((files) => files.every((file) => names.includes(file)));
}

const flag = z.optional(z.nullable(z.boolean()));
const Token = z.union([z.string(), z.looseObject({ content: z.string() })]);
const Tokens = z.union([z.array(Token), z.record(z.string(), Token)]);

const DeclaredToken = z.looseObject({
  content: z.string(),
  single_word: flag,
  lstrip: flag,
  rstrip: flag,
  normalized: flag,
  special: flag,
});
export type DeclaredToken = z.infer<typeof DeclaredToken>;

/** Of tokenizer_config.json, what decides over ids and texts. */
export const TokenizerConfig = z.looseObject({
  tokenizer_class: z.optional(z.nullable(z.string())),
  added_tokens_decoder: z.optional(z.nullable(z.record(z.string(), DeclaredToken))),
  additional_special_tokens: z.optional(z.nullable(Tokens)),
  extra_special_tokens: z.optional(z.nullable(Tokens)),
  split_special_tokens: flag,
  clean_up_tokenization_spaces: flag,
  /** Of byte-level BPE, and of T5. */
  add_prefix_space: flag,
  add_bos_token: flag,
  add_eos_token: flag,
  /** Of BERT. */
  do_lower_case: flag,
  strip_accents: flag,
  tokenize_chinese_chars: flag,
  do_basic_tokenize: flag,
  never_split: z.optional(z.nullable(z.array(z.string()))),
  /** Of T5. */
  extra_ids: z.optional(z.nullable(z.int().check(z.nonnegative(), z.maximum(10_000)))),
  legacy: flag,
  sp_model_kwargs: z.optional(z.nullable(z.record(z.string(), z.unknown()))),
});
export type TokenizerConfig = z.infer<typeof TokenizerConfig>;

export type TokenFiles = {
  config: TokenizerConfig;
  /** special_tokens_map.json. */
  map: Readonly<Record<string, unknown>>;
  /** Tokens that have a role, such as `eos_token`, by its name. */
  roles: ReadonlyMap<string, string>;
  /** Names of further special tokens, in their order. */
  listed: readonly string[];
  /** added_tokens.json: ids by name. */
  added: ReadonlyMap<string, number>;
};

/** @throws CheckpointError naming the file that is none of its kind, or the role that two files give to different tokens */
export async function readTokenFiles(folder: string): Promise<TokenFiles> {
  const read = async <T extends z.ZodMiniType>(name: string, schema: T): Promise<z.infer<T>> => {
    const path = join(folder, name);
    return parseOrThrow(schema, await readJson(path, {}), path);
  };
  const config = await read('tokenizer_config.json', TokenizerConfig);
  const map = await read('special_tokens_map.json', z.record(z.string(), z.unknown()));
  const added = await read('added_tokens.json', z.record(z.string(), z.int()));
  expectTokens(folder, config, added);
  expectSameRoles(rolesOf(config), new Map(rolesOf(map)));
  return {
    config,
    map,
    roles: new Map([...rolesOf(map), ...rolesOf(config)]),
    listed: [...new Set([...listOf(config), ...listOf(map)])],
    added: new Map(Object.entries(added)),
  };
}

/** @throws CheckpointError naming a token whose id or length is out of bounds */
function expectTokens(
  folder: string,
  { added_tokens_decoder }: TokenizerConfig,
  added: Readonly<Record<string, number>>,
): void {
  const declared = Object.entries(added_tokens_decoder ?? {});
  const decoder = declared.map(([id, { content }]) => ({ content, id: Number(id) }));
  const older = Object.entries(added).map(([content, id]) => ({ content, id }));
  expectTokensInBounds({ added_tokens: decoder }, join(folder, 'tokenizer_config.json'));
  expectTokensInBounds({ added_tokens: older }, join(folder, 'added_tokens.json'));
}

/** `transformers` lets one or the other win, by version and by what else a folder holds. */
function expectSameRoles(
  own: readonly [role: string, token: string][],
  others: ReadonlyMap<string, string>,
): void {
  for (const [role, token] of own) {
    const other = others.get(role);
    if (other === undefined || other === token) continue;
    throw new CheckpointError(
      `tokenizer_config.json says ${role} is "${shownToken(token)}", and special_tokens_map.json says "${shownToken(other)}": remove one of the two.`,
    );
  }
}

const LISTS = ['additional_special_tokens', 'extra_special_tokens'];

/** Whether a key names a token, or a list of tokens. */
export function isTokenKey(key: string): boolean {
  return key.endsWith('_token') || LISTS.includes(key);
}

function nameOf(token: z.infer<typeof Token>): string {
  return typeof token === 'string' ? token : token.content;
}

/** `..._token` with a token, and the named ones of `extra_special_tokens`. */
function rolesOf(file: Record<string, unknown>): [role: string, token: string][] {
  const named = LISTS.flatMap((key) => {
    const tokens = Tokens.safeParse(file[key]).data;
    return tokens === undefined || Array.isArray(tokens) ? [] : Object.entries(tokens);
  });
  const roles = Object.entries(file).filter(([key]) => key.endsWith('_token'));
  return [...roles, ...named].flatMap(([role, value]): [string, string][] => {
    const token = Token.safeParse(value);
    return token.success ? [[role, nameOf(token.data)]] : [];
  });
}

function listOf(file: Record<string, unknown>): string[] {
  return LISTS.flatMap((key) => {
    const tokens = Tokens.safeParse(file[key]).data;
    return Array.isArray(tokens) ? tokens.map(nameOf) : [];
  });
}
