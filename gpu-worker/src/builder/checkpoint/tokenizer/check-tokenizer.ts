/** Whether a tokenizer.json agrees with the model it comes with, and with tokenizer_config.json beside it. */
import type { GenerativeManifest, RetrievalManifest } from '@blip2/shared/bundle-manifest';
import { promptFrame } from '@blip2/shared/edge-model';
import * as z from 'zod/mini';
import { shortly } from '../../config/strict-keys.ts';
import { CheckpointError } from '../../errors.ts';
import { type Frame, frameTokens } from './frame-tokens.ts';
import { shownToken } from './token-bounds.ts';
import type { TokenizerConfig } from './token-files.ts';
import { type TokenizerJson, vocabularyOf } from './tokenizer-json.ts';

/** Of a bundle's manifest, what its tokenizer must fit. */
export type ServedModel =
  | Pick<GenerativeManifest, 'kind' | 'family' | 'bos_token_id' | 'eos_token_ids' | 'decoder'>
  | Pick<RetrievalManifest, 'kind' | 'text'>;

/**
 * @throws CheckpointError naming what is at odds: an id beyond the vocabulary, control tokens around a text, or a setting
 */
export function checkTokenizer(
  file: TokenizerJson,
  config: TokenizerConfig,
  model: ServedModel,
): void {
  expectIdsWithin(file, model.kind === 'generate' ? model.decoder.vocab : model.text.vocab);
  expectFrame(file, config, frameOf(model));
  expectSettings(file, config);
}

/** Every token that a text can have needs a row of the embedding; control tokens are looked up where they are used. */
function expectIdsWithin(file: TokenizerJson, vocab: number): void {
  const controls = new Set(file.added_tokens.filter(({ special }) => special).map(({ id }) => id));
  const tokens = [
    ...[...vocabularyOf(file).ids].map(([content, id]) => ({ content, id })),
    ...file.added_tokens,
  ];
  for (const { id, content } of tokens) {
    if (id < vocab || controls.has(id)) continue;
    throw new CheckpointError(
      `tokenizer.json: "${shownToken(content)}" has the id ${id}, and the model has ${vocab} tokens.`,
    );
  }
}

/** What is put around every prompt and text, from config.json. */
function frameOf(model: ServedModel): Frame {
  if (model.kind === 'retrieve') {
    return { before: [model.text.cls_token_id], after: [model.text.sep_token_id] };
  }
  const { prompt_prefix: before, prompt_suffix: after } = promptFrame(model);
  return { before, after };
}

function expectFrame(
  { post_processor, model: { type } }: TokenizerJson,
  { add_bos_token, add_eos_token }: TokenizerConfig,
  expected: Frame,
): void {
  const own = frameTokens(post_processor);
  const shown = (ids: readonly number[]) => `[${ids.join(', ')}]`;
  const isSaid = type === 'BPE' && add_bos_token === true && isOfOffsets(post_processor);
  if (own !== null && !isSaid && String(shownFrame(own)) !== String(shownFrame(expected))) {
    throw new CheckpointError(
      `tokenizer.json: post_processor puts ${shown(own.before)} in front of a text and ${shown(own.after)} behind it, ` +
        `and config.json asks for ${shown(expected.before)} and ${shown(expected.after)}.`,
    );
  }
  // Of the other two kinds these settings say nothing.
  if (type !== 'BPE') return;
  for (const [key, value, ids] of [
    ['add_bos_token', add_bos_token, expected.before],
    ['add_eos_token', add_eos_token, expected.after],
  ] as const) {
    if (value == null || value === ids.length > 0) continue;
    throw new CheckpointError(
      `tokenizer_config.json: ${key} is ${value}, and config.json asks for ${shown(ids)} there.`,
    );
  }
}

const shownFrame = ({ before, after }: Frame) => [before.join(), after.join()];

function isOfOffsets(postProcessor: unknown): boolean {
  return z.looseObject({ type: z.literal('ByteLevel') }).safeParse(postProcessor).success;
}

const Parts = z.looseObject({
  normalizer: z.optional(z.unknown()),
  pre_tokenizer: z.optional(z.unknown()),
});
const Members = z.record(z.string(), z.unknown());

/**
 * Settings that stand in both files: `transformers` lets one or the other win, by version and class. Where
 * tokenizer_config.json leaves one out, its class may have a default that wins all the same.
 */
function expectSettings(file: TokenizerJson, config: TokenizerConfig): void {
  const { normalizer, pre_tokenizer } = Parts.parse(file);
  const normal = Members.safeParse(normalizer).data ?? {};
  const before = Members.safeParse(pre_tokenizer).data ?? {};
  const isOf = (name: string) => config.tokenizer_class?.startsWith(name) === true;
  const settings: Record<TokenizerJson['model']['type'], Setting[]> = {
    BPE: [
      {
        key: 'add_prefix_space',
        here: before.add_prefix_space ?? false,
        otherwise: isOf('GPT2Tokenizer') ? false : undefined,
      },
    ],
    Unigram: [],
    WordPiece: [
      { key: 'do_lower_case', here: normal.lowercase ?? true, otherwise: true },
      { key: 'strip_accents', here: normal.strip_accents ?? null, otherwise: null },
      { key: 'tokenize_chinese_chars', here: normal.handle_chinese_chars ?? true, otherwise: true },
    ].map((setting) => (isOf('BertTokenizer') ? setting : { ...setting, otherwise: undefined })),
  };
  if (file.model.type === 'WordPiece' && normal.type !== 'BertNormalizer') return;
  for (const { key, here, otherwise } of settings[file.model.type]) {
    const there = config[key] ?? otherwise;
    if (there === undefined || there === here) continue;
    throw new CheckpointError(
      `tokenizer_config.json: ${key} is ${shortly(there)}, and ${shortly(here)} in tokenizer.json.`,
    );
  }
}

/** A key, its value in tokenizer.json, and what it is where tokenizer_config.json does not say it. */
type Setting = { key: string; here: unknown; otherwise: boolean | null | undefined };
