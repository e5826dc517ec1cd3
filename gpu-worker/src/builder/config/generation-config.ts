/**
 * A checkpoint's defaults of a generation: `generation_config.json`, or the same settings in an older config.json. Every
 * setting that changes a text becomes a default of requests, or is refused by name.
 */
import { join } from 'node:path';
import { GenerationDefaults } from '@blip2/shared/generation-defaults';
import { GenerationConfig as WireConfig } from '@blip2/shared/wire';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { CheckpointError } from '../errors.ts';
import { IDLE, NEUTRAL } from './generation-keys.ts';
import { parseOrThrow } from './schema-helpers.ts';
import { expectKnownKeys, isSaid, shortly } from './strict-keys.ts';

const id = z.optional(z.nullable(z.int()));
const number = z.optional(z.nullable(z.number()));
const whole = z.optional(z.nullable(z.int()));

const GenerationFile = z.object({
  bos_token_id: id,
  eos_token_id: z.optional(z.nullable(z.union([z.int(), z.array(z.int())]))),
  pad_token_id: id,
  decoder_start_token_id: id,
  max_new_tokens: z.optional(z.nullable(z.int().check(z.positive()))),
  min_new_tokens: whole,
  max_length: whole,
  min_length: whole,
  do_sample: z.optional(z.nullable(z.boolean())),
  temperature: number,
  top_k: whole,
  top_p: number,
  repetition_penalty: number,
  no_repeat_ngram_size: whole,
  num_beams: whole,
  num_return_sequences: whole,
  length_penalty: number,
  early_stopping: z.optional(z.nullable(z.union([z.boolean(), z.literal('never')]))),
});
type GenerationFile = z.infer<typeof GenerationFile>;

export type GenerationSettings = Pick<
  GenerationFile,
  'bos_token_id' | 'eos_token_id' | 'pad_token_id' | 'decoder_start_token_id' | 'max_new_tokens'
> & { defaults: GenerationDefaults };

/** What transformers means where nothing is said. */
const MAX_LENGTH = 20;
const TOP_K = 50;

const FILE = 'generation_config.json';
const Members = z.record(z.string(), z.unknown());
type Members = Record<string, unknown>;

type Place = { path: string; at: string; members: Members };

/**
 * @throws CheckpointError naming a setting that changes texts and is not done here, or that nobody knows
 * @param ignored paths of keys that are ignored, such as `generation_config.suppress_tokens`
 */
export async function expectKnownGeneration(
  folder: string,
  ignored: readonly string[],
): Promise<void> {
  for (const { path, at, members } of await placesOf(folder)) {
    const isNeutral = (key: string) =>
      Object.hasOwn(NEUTRAL, key) && (!isSaid(members[key]) || members[key] === NEUTRAL[key]);
    const isKnown = (key: string) =>
      Object.hasOwn(GenerationFile.shape, key) || IDLE.includes(key) || isNeutral(key);
    expectKnownKeys(path, [{ at, members, isKnown }], ignored);
  }
}

/** @throws CheckpointError naming a setting that is not done here, or that is at odds with another */
export async function readGenerationSettings(
  folder: string,
  family: 'opt' | 't5',
): Promise<GenerationSettings> {
  const places = await placesOf(folder);
  // What stands nearer to the model as a whole has the last word.
  const path = places.at(-1)?.path ?? join(folder, FILE);
  const said = places.flatMap(({ members }) =>
    Object.entries(members).filter(([, value]) => value !== null),
  );
  const file = parseOrThrow(GenerationFile, Object.fromEntries(said), path);
  return { ...file, ...lengths(file, family, path) };
}

/** The file; without it, config.json's keys of that kind: the language model's, then those of the whole. */
async function placesOf(folder: string): Promise<Place[]> {
  const path = join(folder, FILE);
  const json = await readJson(path, null);
  if (json !== null) {
    const members = Members.safeParse(json);
    if (!members.success) throw new CheckpointError(`${path}: ${shortly(json)} is no object.`);
    return [{ path, at: 'generation_config', members: members.data }];
  }
  const config = join(folder, 'config.json');
  const whole = Members.safeParse(await readJson(config, {})).data ?? {};
  const text = Members.safeParse(whole.text_config).data ?? {};
  return [
    { path: config, at: 'text_config', members: legacy(text) },
    { path: config, at: '', members: legacy(whole) },
  ];
}

/** Token ids of config.json are the model's own, which reads them. */
function legacy(config: Members): Members {
  const isSetting = (key: string) =>
    !key.endsWith('_token_id') &&
    (Object.hasOwn(GenerationFile.shape, key) || Object.hasOwn(NEUTRAL, key));
  return Object.fromEntries(
    Object.entries(config).filter(([key, value]) => isSetting(key) && !isDefault(key, value)),
  );
}

/** Older versions write out every default. */
const DEFAULTS: Record<string, unknown> = {
  max_length: MAX_LENGTH,
  min_length: 0,
  do_sample: false,
  temperature: 1,
  top_k: TOP_K,
  top_p: 1,
  repetition_penalty: 1,
  no_repeat_ngram_size: 0,
  num_beams: 1,
  num_return_sequences: 1,
  length_penalty: 1,
  early_stopping: false,
};

function isDefault(key: string, value: unknown): boolean {
  return value === null || value === DEFAULTS[key];
}

/**
 * Under the wire's names. `max_length` and `min_length` count what the decoder reads: T5's reads a start and the text,
 * OPT's the whole prompt, whose length is not known yet.
 */
function lengths(
  file: GenerationFile,
  family: 'opt' | 't5',
  path: string,
): Pick<GenerationSettings, 'max_new_tokens' | 'defaults'> {
  const fail = (why: string) => new CheckpointError(`${path}: ${why}.`);
  const { max_length, min_length } = file;
  const isLong = isSaid(max_length) && max_length !== MAX_LENGTH && !isSaid(file.max_new_tokens);
  const isMinimal = isSaid(min_length) && min_length !== 0 && !isSaid(file.min_new_tokens);
  if (family === 'opt' && isLong) {
    throw fail(`max_length ${max_length} counts the prompt: write max_new_tokens instead`);
  }
  if (family === 'opt' && isMinimal) {
    throw fail(`min_length ${min_length} counts the prompt: write min_new_tokens instead`);
  }
  const max_new_tokens = isLong ? Math.max(1, (max_length ?? 0) - 1) : file.max_new_tokens;
  const min_tokens = isMinimal ? Math.max(0, (min_length ?? 0) - 1) : file.min_new_tokens;
  const defaults = { ...settings(file, fail), ...(isSaid(min_tokens) ? { min_tokens } : {}) };
  const parsed = GenerationDefaults.safeParse(defaults);
  const max_tokens = max_new_tokens ?? Math.max(1, min_tokens ?? 0);
  const isWhole = WireConfig.safeParse({ max_tokens, ...defaults });
  if (parsed.success && isWhole.success) {
    return {
      ...(max_new_tokens === undefined ? {} : { max_new_tokens }),
      defaults: parsed.data,
    };
  }
  const [issue] = (parsed.error ?? isWhole.error)?.issues ?? [];
  const parameter = String(issue?.path[0]);
  const names: Record<string, string> = {
    max_tokens: isLong ? 'max_length' : 'max_new_tokens',
    min_tokens: isMinimal ? 'min_length' : 'min_new_tokens',
    n: 'num_return_sequences',
  };
  const name = names[parameter] ?? parameter;
  throw fail(
    `${name} = ${shortly(Object.entries(file).find(([key]) => key === name)?.[1])}: ${issue?.message}`,
  );
}

function settings(file: GenerationFile, fail: (why: string) => Error): GenerationDefaults {
  const { do_sample, num_beams, num_return_sequences } = file;
  if (do_sample && (num_beams ?? 1) > 1) {
    throw fail(`do_sample with num_beams ${num_beams} draws within a search: not supported`);
  }
  if (do_sample && file.temperature === 0) throw fail('do_sample needs a temperature above 0');
  const said = {
    repetition_penalty: file.repetition_penalty,
    no_repeat_ngram_size: file.no_repeat_ngram_size,
    num_beams,
    n: num_return_sequences,
    length_penalty: file.length_penalty,
    early_stopping: file.early_stopping,
    // Without do_sample, transformers reads none of the three.
    ...(do_sample
      ? {
          temperature: file.temperature ?? 1,
          top_k: file.top_k ?? TOP_K,
          top_p: file.top_p ?? 1,
        }
      : {}),
  };
  return Object.fromEntries(
    Object.entries(said).filter(([, value]) => value !== null && value !== undefined),
  );
}
