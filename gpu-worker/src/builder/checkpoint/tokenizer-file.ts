/** The tokenizer that comes with a checkpoint: graphs do not need it, whoever serves the model does. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createTokenizer } from '@blip2/shared/tokenizer';
import * as z from 'zod/mini';
import { readText } from '../../regular-file.ts';
import { CheckpointError } from '../errors.ts';
import { checkpointName } from './checkpoint.ts';
import { readJson } from './read-json.ts';
import { checkTokenizer, type ServedModel } from './tokenizer/check-tokenizer.ts';
import { withCleanUp } from './tokenizer/clean-up-decoder.ts';
import { expectKnownSettings } from './tokenizer/known-settings.ts';
import { mergeAddedTokens } from './tokenizer/merge-added-tokens.ts';
import { type Family, readSlowTokenizer } from './tokenizer/slow-tokenizer.ts';
import { expectTokensInBounds, MAX_TOKENIZER_BYTES } from './tokenizer/token-bounds.ts';
import { readTokenFiles } from './tokenizer/token-files.ts';
import { TokenizerJson } from './tokenizer/tokenizer-json.ts';

const FILE = 'tokenizer.json';

/** Which kinds of models `tokenizer.json` may hold. */
const KINDS = { generate: ['BPE', 'Unigram'], retrieve: ['WordPiece'] } as const;

/**
 * The text of `tokenizer.json` as a bundle of the checkpoint holds it: the checkpoint's own, byte for byte, unless
 * other files have added tokens that it lacks or say how texts are cleaned up; made of the files of older versions where
 * there is none.
 * @throws CheckpointError naming the file that is missing or damaged, or the token over which two files differ
 */
export async function composeTokenizer(checkpoint: string): Promise<string> {
  return await compose(checkpoint, await readModel(checkpoint));
}

/** Whose tokenizer it must be, and the ids of control tokens. */
type TokenizerOwner = { family: Family; controlIds: ReadonlySet<number> };

export const BERT: TokenizerOwner = { family: 'bert', controlIds: new Set() };

/** @throws CheckpointError as `composeTokenizer` */
export async function compose(
  folder: string,
  { family, controlIds }: TokenizerOwner,
): Promise<string> {
  const path = join(folder, FILE);
  const hasFile = (await readdir(folder)).includes(FILE);
  const files = await readTokenFiles(folder);
  if (!hasFile) {
    const { json, roles } = await readSlowTokenizer(folder, family, files);
    const added_tokens = mergeAddedTokens(json, { ...files, roles }, controlIds);
    expectTokensInBounds({ added_tokens }, folder);
    return `${JSON.stringify(withCleanUp({ ...json, added_tokens }, files.config))}\n`;
  }
  const text = await readText(path, MAX_TOKENIZER_BYTES);
  const content = await readTokenizerJson(path).catch((cause: Error) => {
    const name = checkpointName(folder);
    throw new CheckpointError(`The ${FILE} of ${name} is damaged: ${cause.message}`, { cause });
  });
  expectTokensInBounds(content, path);
  const json = TokenizerJson.safeParse(content);
  // Of a kind that is not supported; readTokenizer says so to whoever wants to use it.
  if (!json.success) return text;
  const added_tokens = mergeAddedTokens(json.data, files, controlIds);
  expectTokensInBounds({ added_tokens }, folder);
  const composed = withCleanUp({ ...json.data, added_tokens }, files.config);
  return isDeepStrictEqual(composed, json.data) ? text : `${JSON.stringify(composed)}\n`;
}

/**
 * Expects that `tokenizer.json` in a folder cuts texts as the model needs them, if it is of a supported kind.
 * @param ignored paths of keys (`tokenizer_config.note`) that someone knows to change nothing
 * @throws CheckpointError naming the key, token or file that is not supported, or does not fit the model
 */
export async function checkTokenizerFile(
  folder: string,
  model: ServedModel & { name: string },
  ignored: readonly string[],
): Promise<void> {
  if (!isOfKnownKind(await readTokenizerJson(join(folder, FILE)))) return;
  expectKnownSettings(await readTokenFiles(folder), ignored);
  await readTokenizer(folder, model);
}

async function readTokenizerJson(path: string): Promise<unknown> {
  return await readJson(path, undefined, MAX_TOKENIZER_BYTES);
}

/** What is of another kind can still be built, for whoever has no texts; one of these kinds must be read as a whole. */
function isOfKnownKind(json: unknown): boolean {
  return z.looseObject({ model: z.pick(TokenizerJson.shape.model, { type: true }) }).safeParse(json)
    .success;
}

/**
 * The text of a bundle's `tokenizer.json`, once it is known to be of use.
 * @throws CheckpointError when it is damaged, none that such a model's text can be read with, or does not fit the model
 */
export async function readTokenizer(
  bundle: string,
  model: ServedModel & { name: string },
): Promise<string> {
  const { kind, name } = model;
  const text = await readText(join(bundle, FILE), MAX_TOKENIZER_BYTES);
  const fail = (why: string, cause?: unknown) =>
    new CheckpointError(`The tokenizer.json of ${name} ${why}.`, { cause });
  let type: string;
  try {
    type = createTokenizer(text).type;
  } catch (cause) {
    const reason = String(cause instanceof Error ? cause.message : cause);
    const what = reason.replace(/^tokenizer\.json( is not supported)?: /, '');
    throw fail(`is damaged, or of a kind that is not supported: ${what}`, cause);
  }
  const wanted: readonly string[] = KINDS[kind];
  if (!wanted.includes(type)) throw fail(`is of type ${type}, not ${wanted.join(' or ')}`);
  const { config } = await readTokenFiles(bundle);
  checkTokenizer(TokenizerJson.parse(JSON.parse(text)), config, model);
  return text;
}

const Id = z.optional(z.nullable(z.union([z.int(), z.array(z.int())])));
const Roles = z.looseObject({
  bos_token_id: Id,
  eos_token_id: Id,
  pad_token_id: Id,
  decoder_start_token_id: Id,
});
type Roles = z.infer<typeof Roles>;
const Config = z.looseObject({
  architectures: z.optional(z.nullable(z.array(z.string()))),
  text_config: z.optional(z.looseObject({ ...Roles.shape, model_type: z.optional(z.string()) })),
});

/** From config.json and generation_config.json. */
async function readModel(checkpoint: string): Promise<TokenizerOwner> {
  const config = Config.safeParse(await readJson(join(checkpoint, 'config.json'))).data;
  const isRetrieval = config?.architectures?.[0] === 'Blip2ForImageTextRetrieval';
  // Its text side is BERT's; `text_config` is the default of the class.
  if (isRetrieval) return BERT;
  const generation = Roles.safeParse(
    await readJson(join(checkpoint, 'generation_config.json'), {}),
  ).data;
  const family = config?.text_config?.model_type === 't5' ? 't5' : 'opt';
  return { family, controlIds: new Set([...idsOf(config?.text_config), ...idsOf(generation)]) };
}

function idsOf(roles: Roles | undefined): number[] {
  const { bos_token_id, eos_token_id, pad_token_id, decoder_start_token_id } = roles ?? {};
  const ids = [bos_token_id, eos_token_id, pad_token_id, decoder_start_token_id];
  return ids.flatMap((id) => id ?? []);
}
