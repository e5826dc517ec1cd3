/** The config of a checkpoint, as far as graphs depend on it. Defaults are those of transformers. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readJson } from '../checkpoint/read-json.ts';
import { CheckpointError } from '../errors.ts';
import { count, layerCount, parseOrThrow, withDefault } from './schema-helpers.ts';
import { TextConfig, unsupportedLanguageModel } from './text-config.ts';

const VisionConfig = z.object({
  model_type: z.optional(z.enum(['blip_2_vision_model', 'instructblip_vision_model'])),
  hidden_size: withDefault(count, 1408),
  intermediate_size: withDefault(count, 6144),
  num_hidden_layers: withDefault(layerCount, 39),
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
  model_type: z.optional(z.enum(['blip_2_qformer', 'instructblip_qformer'])),
  hidden_size: withDefault(count, 768),
  intermediate_size: withDefault(count, 3072),
  num_hidden_layers: withDefault(layerCount, 12),
  num_attention_heads: withDefault(count, 12),
  encoder_hidden_size: withDefault(count, 1408),
  cross_attention_frequency: withDefault(count, 2),
  hidden_act: withDefault(z.literal('gelu'), 'gelu'),
  layer_norm_eps: withDefault(z.number(), 1e-12),
  position_embedding_type: withDefault(z.literal('absolute'), 'absolute'),
  /** Of BLIP-2's; InstructBLIP's always reads text, whatever this says. */
  use_qformer_text_input: withDefault(z.boolean(), false),
  /** Of its text side, which only retrieval checkpoints and InstructBLIP have. */
  vocab_size: withDefault(count, 30522),
  max_position_embeddings: withDefault(count, 512),
});
export type QFormerConfig = z.infer<typeof QFormerConfig>;

export const GenerativeConfig = z.object({
  architectures: z.optional(z.nullable(z.array(z.string()))),
  model_type: z.enum(['blip-2', 'instructblip']),
  num_query_tokens: withDefault(count, 32),
  /** Older configs lack it; OPT's `<image>` is 50265 in every published checkpoint. */
  image_token_index: z.optional(z.nullable(z.int())),
  use_decoder_only_language_model: z.optional(z.boolean()),
  vision_config: VisionConfig,
  qformer_config: QFormerConfig,
  text_config: TextConfig,
});
export type GenerativeConfig = z.infer<typeof GenerativeConfig>;

export const RetrievalConfig = z.object({
  model_type: z.literal('blip-2'),
  num_query_tokens: withDefault(count, 32),
  image_text_hidden_size: withDefault(count, 256),
  vision_config: VisionConfig,
  qformer_config: QFormerConfig,
});
export type RetrievalConfig = z.infer<typeof RetrievalConfig>;

const KINDS = {
  Blip2ForConditionalGeneration: 'generate',
  InstructBlipForConditionalGeneration: 'generate',
  Blip2ForImageTextRetrieval: 'retrieve',
} as const;

/** Whether the Q-Former reads the prompt beside the image. */
export function readsInstruction({ model_type }: Pick<GenerativeConfig, 'model_type'>): boolean {
  return model_type === 'instructblip';
}

/**
 * Whether a checkpoint is a generative or a retrieval model.
 * @throws CheckpointError when its config names another architecture, or a language model that is not supported
 */
export async function readKind(folder: string): Promise<'generate' | 'retrieve'> {
  const path = join(folder, 'config.json');
  const json = await readJson(path);
  const name = architectureOf(json) ?? 'Blip2ForConditionalGeneration';
  const kind = Object.entries(KINDS).find(([known]) => known === name)?.[1];
  if (kind === undefined) throw new CheckpointError(`${path}: ${unsupportedArchitecture(name)}`);
  const why = kind === 'generate' ? unsupportedLanguageModel(json) : null;
  if (why !== null) throw new CheckpointError(`${path}: ${why}`);
  return kind;
}

function unsupportedArchitecture(name: string): string {
  return `architecture ${name} is not supported.`;
}

function architectureOf(config: unknown): string | undefined {
  const Named = z.object({ architectures: z.array(z.string()) });
  return Named.safeParse(config).data?.architectures[0];
}

/**
 * Why no bundle can be made of a checkpoint, as far as its config and the names of its files tell; null where it may be.
 * @param config the text of its config.json
 * @param files paths of all files
 */
export function objectionTo(config: string, files: readonly string[]): string | null {
  const why = objectionToModel(config);
  if (why !== null || modelIn(config)?.type !== 'instructblip') return why;
  const hasTokenizer = files.some((file) => file.startsWith('qformer_tokenizer/'));
  return hasTokenizer ? null : "it lacks the folder qformer_tokenizer, of InstructBLIP's Q-Former.";
}

/** As `objectionTo`, of the base of another checkpoint, which may bring the tokenizers that this one lacks. */
export function objectionToModel(config: string): string | null {
  const json = modelIn(config)?.json;
  if (json === undefined) return null;
  const name = architectureOf(json);
  if (name !== undefined && !Object.hasOwn(KINDS, name)) return unsupportedArchitecture(name);
  return name?.endsWith('Retrieval') ? null : unsupportedLanguageModel(json);
}

const Model = z.looseObject({ text_config: z.looseObject({}), model_type: z.string() });

/** Null for what may be a language model alone, which checkpoints of LAVIS have as their base. */
function modelIn(config: string): { json: unknown; type: string } | null {
  try {
    const json: unknown = JSON.parse(config);
    const model = Model.safeParse(json).data;
    return model === undefined ? null : { json, type: model.model_type };
  } catch {
    return null;
  }
}

/**
 * Config of a `Blip2ForConditionalGeneration` or `InstructBlipForConditionalGeneration` checkpoint.
 * @throws CheckpointError naming the value that is missing, unknown or at odds with another
 */
export async function readGenerativeConfig(folder: string): Promise<GenerativeConfig> {
  const path = join(folder, 'config.json');
  const config = parseOrThrow(GenerativeConfig, await readJson(path), path);
  const { text_config: text } = config;
  const ensure = ensureIn(path);
  checkModelTypes(config, ensure);
  checkImageSide(config, ensure);
  const ids = { ...text, image_token_index: config.image_token_index };
  for (const name of [
    'eos_token_id',
    'pad_token_id',
    'bos_token_id',
    'image_token_index',
  ] as const) {
    const id = ids[name] ?? 0;
    const isToken = id >= 0 && id < text.vocab_size;
    const vocabulary = `the ${text.vocab_size} tokens of text_config.vocab_size`;
    ensure(isToken, `${name} ${id} is none of ${vocabulary}`);
  }
  const isOpt = text.model_type === 'opt';
  const decodesOnly = config.use_decoder_only_language_model ?? isOpt;
  ensure(
    decodesOnly === isOpt,
    `use_decoder_only_language_model ${decodesOnly} does not fit text_config.model_type ${text.model_type}`,
  );
  if (text.model_type === 'opt') {
    const projected = text.word_embed_proj_dim ?? text.hidden_size;
    ensure(
      projected === text.hidden_size,
      `text_config.word_embed_proj_dim ${projected} differs from hidden_size ${text.hidden_size}: not supported`,
    );
    checkHeads('text_config', text, ensure);
  }
  return config;
}

/**
 * Config of a `Blip2ForImageTextRetrieval` checkpoint.
 * @throws CheckpointError naming the value that is missing, unknown or at odds with another
 */
export async function readRetrievalConfig(folder: string): Promise<RetrievalConfig> {
  const path = join(folder, 'config.json');
  const config = parseOrThrow(RetrievalConfig, await readJson(path), path);
  const ensure = ensureIn(path);
  checkImageSide(config, ensure);
  const readsText = config.qformer_config.use_qformer_text_input;
  ensure(readsText, 'qformer_config.use_qformer_text_input must be true for a retrieval model');
  return config;
}

type Ensure = (holds: boolean, message: string) => void;

function ensureIn(path: string): Ensure {
  return (holds, message) => {
    if (!holds) throw new CheckpointError(`${path}: ${message}`);
  };
}

/** The names that config and parts have must be those of one model, and its Q-Former as that model's is. */
function checkModelTypes(config: GenerativeConfig, ensure: Ensure): void {
  const { model_type, architectures, vision_config, qformer_config } = config;
  const isInstruct = readsInstruction(config);
  const names = {
    architectures: architectures?.[0],
    'vision_config.model_type': vision_config.model_type,
    'qformer_config.model_type': qformer_config.model_type,
  };
  for (const [key, name] of Object.entries(names)) {
    const fits = name === undefined || /^instruct_?blip/i.test(name) === isInstruct;
    ensure(fits, `${key} ${name} does not fit model_type ${model_type}`);
  }
  const readsText = qformer_config.use_qformer_text_input;
  ensure(
    isInstruct || !readsText,
    'qformer_config.use_qformer_text_input must be false for a generative model',
  );
}

/** What both kinds of checkpoints ask of image encoder and Q-Former. */
function checkImageSide(
  config: Pick<GenerativeConfig, 'vision_config' | 'qformer_config'>,
  ensure: Ensure,
): void {
  const { vision_config: vision, qformer_config: qformer } = config;
  ensure(
    vision.image_size % vision.patch_size === 0,
    `vision_config.image_size ${vision.image_size} is no multiple of patch_size ${vision.patch_size}`,
  );
  ensure(
    qformer.encoder_hidden_size === vision.hidden_size,
    `qformer_config.encoder_hidden_size ${qformer.encoder_hidden_size} differs from vision_config.hidden_size ${vision.hidden_size}`,
  );
  for (const section of ['vision_config', 'qformer_config'] as const) {
    checkHeads(section, config[section], ensure);
  }
}

function checkHeads(
  section: string,
  { hidden_size, num_attention_heads }: Pick<VisionConfig, 'hidden_size' | 'num_attention_heads'>,
  ensure: Ensure,
): void {
  ensure(
    hidden_size % num_attention_heads === 0,
    `${section}.hidden_size ${hidden_size} is no multiple of num_attention_heads ${num_attention_heads}`,
  );
}
