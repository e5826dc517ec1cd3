/** `text_config` of a generative checkpoint: OPT or T5. Defaults are those of transformers. */
import * as z from 'zod/mini';
import { count, layerCount, withDefault } from './schema-helpers.ts';

const OptConfig = z.object({
  model_type: z.literal('opt'),
  is_encoder_decoder: withDefault(z.literal(false), false),
  vocab_size: withDefault(count, 50272),
  hidden_size: withDefault(count, 768),
  ffn_dim: withDefault(count, 3072),
  num_hidden_layers: withDefault(layerCount, 12),
  num_attention_heads: withDefault(count, 12),
  max_position_embeddings: withDefault(count, 2048),
  word_embed_proj_dim: z.optional(z.nullable(count)),
  activation_function: withDefault(z.literal('relu'), 'relu'),
  do_layer_norm_before: withDefault(z.literal(true), true),
  _remove_final_layer_norm: withDefault(z.literal(false), false),
  enable_bias: withDefault(z.literal(true), true),
  layer_norm_elementwise_affine: withDefault(z.literal(true), true),
  tie_word_embeddings: withDefault(z.boolean(), true),
  bos_token_id: withDefault(z.int(), 2),
  eos_token_id: withDefault(z.int(), 2),
  pad_token_id: withDefault(z.int(), 1),
});
export type OptConfig = z.infer<typeof OptConfig>;

const T5Config = z.object({
  model_type: z.literal('t5'),
  is_encoder_decoder: withDefault(z.literal(true), true),
  vocab_size: withDefault(count, 32128),
  d_model: withDefault(count, 512),
  d_kv: withDefault(count, 64),
  d_ff: withDefault(count, 2048),
  num_layers: withDefault(layerCount, 6),
  num_decoder_layers: z.optional(z.nullable(layerCount)),
  num_heads: withDefault(count, 8),
  relative_attention_num_buckets: withDefault(z.int().check(z.gte(4)), 32),
  relative_attention_max_distance: withDefault(count, 128),
  layer_norm_epsilon: withDefault(z.number(), 1e-6),
  /** FlanT5's; the older layers without a gate are not supported. */
  feed_forward_proj: z.enum(['gated-gelu', 'gated-gelu_new']),
  is_gated_act: withDefault(z.literal(true), true),
  /** The gate's activation; where a config does not say, `gated-gelu` means the tanh approximation. */
  dense_act_fn: withDefault(z.enum(['gelu', 'gelu_new']), 'gelu_new'),
  tie_word_embeddings: z.optional(z.boolean()),
  /** Written by newer versions of transformers, which leave out `tie_word_embeddings`. */
  scale_decoder_outputs: z.optional(z.boolean()),
  decoder_start_token_id: withDefault(z.int(), 0),
  bos_token_id: withDefault(z.nullable(z.int()), 1),
  eos_token_id: withDefault(z.int(), 1),
  pad_token_id: withDefault(z.int(), 0),
});
export type T5Config = z.infer<typeof T5Config>;

export const TEXT_CONFIGS = { opt: OptConfig, t5: T5Config };
export const TextConfig = z.discriminatedUnion('model_type', [OptConfig, T5Config]);
export type TextConfig = z.infer<typeof TextConfig>;

const Named = z.looseObject({
  model_type: z.optional(z.string()),
  text_config: z.looseObject({ model_type: z.optional(z.string()) }),
});

/**
 * Why the language model of a config.json is not supported, and which are; null where it is, or where the file does not say.
 * It needs no other file: a checkpoint can be refused before its weights are fetched.
 */
export function unsupportedLanguageModel(config: unknown): string | null {
  const named = Named.safeParse(config).data;
  const type = named?.text_config.model_type;
  if (type === undefined) return null;
  if (Object.hasOwn(TEXT_CONFIGS, type)) return null;
  if (named?.model_type === 'instructblip') {
    const name = type === 'llama' ? 'llama (Vicuna)' : type;
    return `text_config.model_type is ${name}: of InstructBLIP only those on FlanT5 and OPT are supported. Use Salesforce/instructblip-flan-t5-xl or -xxl.`;
  }
  return `text_config.model_type is ${type}: only OPT and T5 are supported (opt, t5).`;
}
