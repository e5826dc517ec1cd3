/** `adapter_config.json` of peft: which modules an adapter changes, and by how much. */
import * as z from 'zod/mini';
import { count, parseOrThrow, withDefault } from '../config/schema-helpers.ts';
import { expectKnownKeys, isSaid, shortly } from '../config/strict-keys.ts';
import { CheckpointError } from '../errors.ts';
import { readJson } from './read-json.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';

const MERGE_IT = 'merge it with peft (merge_and_unload, save_pretrained) and give that folder';

const names = z.optional(z.nullable(z.union([z.string(), z.array(z.string())])));

/** What says which modules are meant, of every kind of adapter. */
const modules = {
  base_model_name_or_path: z.optional(z.nullable(z.string())),
  /** The base's on its hub. */
  revision: z.optional(z.nullable(z.string())),
  /** Ends of names, or a regular expression of whole names. */
  target_modules: names,
  exclude_modules: names,
  layers_to_transform: z.optional(z.nullable(z.union([z.int(), z.array(z.int())]))),
  layers_pattern: names,
  modules_to_save: z.optional(z.nullable(z.array(z.string()))),
};

/** Rank and scale, and those of single modules by the end of their names. */
const rank = {
  r: withDefault(count, 8),
  rank_pattern: withDefault(z.record(z.string(), count), {}),
  alpha_pattern: withDefault(z.record(z.string(), z.number()), {}),
};

const Lora = z.object({
  peft_type: z.literal('LORA'),
  ...modules,
  ...rank,
  lora_alpha: withDefault(z.number(), 8),
  use_rslora: withDefault(z.boolean(), false),
  use_dora: withDefault(z.boolean(), false),
  lora_bias: withDefault(z.boolean(), false),
  bias: withDefault(z.enum(['none', 'all', 'lora_only']), 'none'),
  /** Beginnings that leave the base's weights as they are; PiSSA, OLoRA, CorDA and LoftQ change them. */
  init_lora_weights: withDefault(
    z.union([z.boolean(), z.enum(['gaussian', 'eva', 'orthogonal'])], {
      error: ({ input }) =>
        `${shortly(input)} changed the base's weights before training: save the adapter with path_initial_model_for_weight_conversion, or merge it with peft`,
    }),
    true,
  ),
});

const LoHa = z.object({
  peft_type: z.literal('LOHA'),
  ...modules,
  ...rank,
  alpha: withDefault(z.number(), 8),
});

const IA3 = z.object({ peft_type: z.literal('IA3'), ...modules });

const AdapterConfigSchema = z.discriminatedUnion('peft_type', [Lora, LoHa, IA3]);
export type AdapterConfig = z.infer<typeof AdapterConfigSchema>;

const SCHEMAS = { LORA: Lora, LOHA: LoHa, IA3 };

/**
 * Keys that change nothing of a merged model: origin, training, settings of an initialization that has happened.
 * `fan_in_fan_out` speaks of layers that are stored transposed; BLIP-2 has none, and peft turns it off for them.
 * `feedforward_modules` of IA3 also follows from the shape of each vector.
 */
const IDLE = [
  'task_type',
  'auto_mapping',
  'peft_version',
  'inference_mode',
  'lora_dropout',
  'rank_dropout',
  'module_dropout',
  'fan_in_fan_out',
  'feedforward_modules',
  'init_ia3_weights',
  'init_weights',
  'use_effective_conv2d',
  'megatron_core',
  'qalora_group_size',
  'eva_config',
];

/**
 * @param ignored paths of keys that someone knows to change nothing, such as `adapter_config.note`
 * @throws CheckpointError naming a kind of adapter that is not merged, or a key that nobody knows
 */
export async function readAdapterConfig(
  path: string,
  ignored: readonly string[],
): Promise<AdapterConfig> {
  const json = await readJson(path);
  const type = z.looseObject({ peft_type: z.string() }).safeParse(json).data?.peft_type;
  if (type === undefined || !Object.hasOwn(SCHEMAS, type)) {
    const kind = type === undefined ? 'no kind of adapter' : `an adapter of type ${shortly(type)}`;
    throw new CheckpointError(
      `${path} names ${kind}: LORA (DoRA and rank-stabilized LoRA included), LOHA and IA3 are merged. Of this one, ${MERGE_IT}.`,
    );
  }
  const schema = SCHEMAS[type as keyof typeof SCHEMAS];
  const config = parseOrThrow(AdapterConfigSchema, json, path);
  const isKnown = (key: string) => Object.hasOwn(schema.shape, key) || IDLE.includes(key);
  const members = json as Record<string, unknown>;
  expectKnownKeys(path, [{ at: 'adapter_config', members, isKnown }], ignored, MERGE_IT);
  return config;
}

/** What a module's change is multiplied by, and its rank; as peft computes them. */
export function scaleOf(
  config: Extract<AdapterConfig, { peft_type: 'LORA' | 'LOHA' }>,
  module: string,
): { scale: number; rank: number } {
  const rank = patternValue(config.rank_pattern, module) ?? config.r;
  const common = config.peft_type === 'LORA' ? config.lora_alpha : config.alpha;
  const alpha = patternValue(config.alpha_pattern, module) ?? common;
  const isStabilized = config.peft_type === 'LORA' && config.use_rslora;
  return { scale: alpha / (isStabilized ? Math.sqrt(rank) : rank), rank };
}

function patternValue(pattern: Readonly<Record<string, number>>, module: string) {
  const key = Object.keys(pattern).find((end) => regExp(`^(.*\\.)?(${end})$`).test(module));
  return key === undefined ? undefined : pattern[key];
}

/** Whether the config means a module, by peft's rules. */
export function isTarget(config: AdapterConfig, module: string): boolean {
  const { target_modules: targets, exclude_modules: excluded, modules_to_save: saved } = config;
  if (isSaid(excluded) && isNamed(excluded ?? [], module)) return false;
  if ((saved ?? []).some((name) => regExp(`^(.*\\.)?(${name})($|\\..*)`).test(module)))
    return false;
  if (targets === undefined || targets === null || targets === 'all-linear') return true;
  if (!isNamed(targets, module)) return false;
  // An expression, or the whole name of a module, is meant whatever its layer.
  const isWhole = typeof targets === 'string' || targets.includes(module);
  return isWhole || isTransformedLayer(config, module);
}

function isNamed(targets: string | readonly string[], module: string): boolean {
  if (typeof targets === 'string') return regExp(`^(?:${targets})$`).test(module);
  return targets.some((target) => module === target || module.endsWith(`.${target}`));
}

/** `layers_to_transform`: the first number in a module's name is its layer's. */
function isTransformedLayer(config: AdapterConfig, module: string): boolean {
  const { layers_to_transform: layers, layers_pattern } = config;
  if (layers === undefined || layers === null) return true;
  const wanted = typeof layers === 'number' ? [layers] : layers;
  if (wanted.length === 0) return true;
  const patterns = [layers_pattern ?? []].flat().filter((pattern) => pattern !== '');
  const expressions =
    patterns.length === 0
      ? [/^.*?\.[^.]*\.(\d+)\./]
      : patterns.map((pattern) => regExp(`^(?:|.*?\\.)(?:${pattern})\\.(\\d+)\\.`));
  const index = expressions.map((expression) => expression.exec(module)?.[1]).find(isSaid);
  return index !== undefined && wanted.includes(Number(index));
}

/** @throws CheckpointError where Python's expressions are none of JavaScript's */
function regExp(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new CheckpointError(
      `${ADAPTER_CONFIG}: the expression ${shortly(text)} cannot be read: merge the adapter with peft (merge_and_unload) and give that folder.`,
      { cause },
    );
  }
}
