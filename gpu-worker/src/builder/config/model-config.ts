/** The config of a checkpoint, as far as graphs depend on it. Defaults are those of transformers. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { CheckpointError } from '../errors.ts';
import { count, withDefault } from './fields.ts';
import { TextConfig } from './text-config.ts';

const VisionConfig = z.object({
  model_type: z.optional(z.literal('blip_2_vision_model')),
  hidden_size: withDefault(count, 1408),
  intermediate_size: withDefault(count, 6144),
  num_hidden_layers: withDefault(count, 39),
  num_attention_heads: withDefault(count, 16),
  image_size: withDefault(count, 224),
  patch_size: withDefault(count, 14),
  num_channels: withDefault(z.literal(3), 3),
  hidden_act: withDefault(z.enum(['gelu', 'quick_gelu']), 'gelu'),
  layer_norm_eps: withDefault(z.number(), 1e-6),
  /** Ours, of the configs made for LAVIS's ViT-L: CLIP normalizes once before the first block. */
  pre_layernorm: withDefault(z.boolean(), false),
  qkv_bias: withDefault(z.boolean(), true),
});
export type VisionConfig = z.infer<typeof VisionConfig>;

const QFormerConfig = z.object({
  model_type: z.optional(z.literal('blip_2_qformer')),
  hidden_size: withDefault(count, 768),
  intermediate_size: withDefault(count, 3072),
  num_hidden_layers: withDefault(count, 12),
  num_attention_heads: withDefault(count, 12),
  encoder_hidden_size: withDefault(count, 1408),
  cross_attention_frequency: withDefault(count, 2),
  hidden_act: withDefault(z.literal('gelu'), 'gelu'),
  layer_norm_eps: withDefault(z.number(), 1e-12),
  position_embedding_type: withDefault(z.literal('absolute'), 'absolute'),
  use_qformer_text_input: withDefault(z.boolean(), false),
  /** Of its text side, which only checkpoints that compare have. */
  vocab_size: withDefault(count, 30522),
  max_position_embeddings: withDefault(count, 512),
});
export type QFormerConfig = z.infer<typeof QFormerConfig>;

export const GenerateConfig = z.object({
  architectures: z.optional(z.array(z.string())),
  model_type: z.literal('blip-2'),
  num_query_tokens: withDefault(count, 32),
  /** Older configs lack it; OPT's `<image>` is 50265 in every published checkpoint. */
  image_token_index: z.optional(z.nullable(z.int())),
  use_decoder_only_language_model: z.optional(z.boolean()),
  vision_config: VisionConfig,
  qformer_config: QFormerConfig,
  text_config: TextConfig,
});
export type GenerateConfig = z.infer<typeof GenerateConfig>;

export const RetrieveConfig = z.object({
  model_type: z.literal('blip-2'),
  num_query_tokens: withDefault(count, 32),
  image_text_hidden_size: withDefault(count, 256),
  vision_config: VisionConfig,
  qformer_config: QFormerConfig,
});
export type RetrieveConfig = z.infer<typeof RetrieveConfig>;

const KINDS = {
  Blip2ForConditionalGeneration: 'generate',
  Blip2ForImageTextRetrieval: 'retrieve',
} as const;

/**
 * What a checkpoint is for.
 * @throws CheckpointError when its config names an architecture that is none of the two
 */
export async function readKind(folder: string): Promise<'generate' | 'retrieve'> {
  const path = join(folder, 'config.json');
  const json = await readJson(path);
  const architecture = z.object({ architectures: z.array(z.string()) }).safeParse(json);
  const name = architecture.data?.architectures[0] ?? 'Blip2ForConditionalGeneration';
  const kind = Object.entries(KINDS).find(([known]) => known === name)?.[1];
  if (kind === undefined)
    throw new CheckpointError(`${path}: architecture ${name} is not supported.`);
  return kind;
}

/**
 * Config of a `Blip2ForImageTextRetrieval` checkpoint.
 * @throws CheckpointError naming the value that is missing, unknown or at odds with another
 */
export async function readRetrieveConfig(folder: string): Promise<RetrieveConfig> {
  const path = join(folder, 'config.json');
  const config = parseOrThrow(RetrieveConfig, await readJson(path), path);
  const require = requirement(path);
  checkImageSide(config, require);
  require(config.qformer_config
    .use_qformer_text_input, 'qformer_config.use_qformer_text_input must be true for a checkpoint that compares');
  return config;
}

type Requirement = (holds: boolean, what: string) => void;

function requirement(path: string): Requirement {
  return (holds, what) => {
    if (!holds) throw new CheckpointError(`${path}: ${what}`);
  };
}

/** What both kinds of checkpoints ask of image encoder and Q-Former. */
function checkImageSide(
  config: Pick<GenerateConfig, 'vision_config' | 'qformer_config'>,
  require: Requirement,
): void {
  const { vision_config: vision, qformer_config: qformer } = config;
  require(vision.image_size % vision.patch_size ===
    0, `vision_config.image_size ${vision.image_size} is no multiple of patch_size ${vision.patch_size}`);
  require(qformer.encoder_hidden_size ===
    vision.hidden_size, `qformer_config.encoder_hidden_size ${qformer.encoder_hidden_size} differs from vision_config.hidden_size ${vision.hidden_size}`);
  for (const part of ['vision_config', 'qformer_config'] as const) {
    checkHeads(part, config[part], require);
  }
}

function checkHeads(
  part: string,
  { hidden_size, num_attention_heads }: Pick<VisionConfig, 'hidden_size' | 'num_attention_heads'>,
  require: Requirement,
): void {
  require(hidden_size % num_attention_heads ===
    0, `${part}.hidden_size ${hidden_size} is no multiple of num_attention_heads ${num_attention_heads}`);
}

/**
 * Config of a `Blip2ForConditionalGeneration` checkpoint.
 * @throws CheckpointError naming the value that is missing, unknown or at odds with another
 */
export async function readGenerateConfig(folder: string): Promise<GenerateConfig> {
  const path = join(folder, 'config.json');
  const config = parseOrThrow(GenerateConfig, await readJson(path), path);
  const { qformer_config: qformer, text_config: text } = config;
  const require = requirement(path);
  checkImageSide(config, require);
  require(!qformer.use_qformer_text_input, 'qformer_config.use_qformer_text_input must be false for a checkpoint that generates');
  const ids = { ...text, image_token_index: config.image_token_index };
  for (const name of [
    'eos_token_id',
    'pad_token_id',
    'bos_token_id',
    'image_token_index',
  ] as const) {
    const id = ids[name] ?? 0;
    require(id >= 0 &&
      id <
        text.vocab_size, `${name} ${id} is none of the ${text.vocab_size} tokens of text_config.vocab_size`);
  }
  const decodesOnly = config.use_decoder_only_language_model ?? text.model_type === 'opt';
  require(decodesOnly ===
    (text.model_type ===
      'opt'), `use_decoder_only_language_model ${decodesOnly} does not fit text_config.model_type ${text.model_type}`);
  if (text.model_type === 'opt') {
    const projected = text.word_embed_proj_dim ?? text.hidden_size;
    require(projected ===
      text.hidden_size, `text_config.word_embed_proj_dim ${projected} differs from hidden_size ${text.hidden_size}: not supported`);
    checkHeads('text_config', text, require);
  }
  return config;
}

export function parseOrThrow<T extends z.ZodMiniType>(
  schema: T,
  json: unknown,
  path: string,
): z.infer<T> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new CheckpointError(`${path}: ${z.prettifyError(result.error)}`);
}
