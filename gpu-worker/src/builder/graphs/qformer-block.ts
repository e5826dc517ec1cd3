/** One block of the Q-Former: BERT, post-LN; queries also attend to the image, and have feed-forward layers of their own. */
import type { QFormerConfig } from '../config/model-config.ts';
import type { Layers } from './layers.ts';

/** The graph that a block is added to, and its config. */
type QFormer = { layers: Layers; config: QFormerConfig };

/** Prefix of a block's tensors. */
export function blockName(index: number): string {
  return `qformer.encoder.layer.${index}`;
}

export function hasCrossAttention(
  { cross_attention_frequency }: QFormerConfig,
  index: number,
): boolean {
  return index % cross_attention_frequency === 0;
}

/**
 * LN(x + output(attention(x, x))), [batch, seq, width].
 * @param scoreBias of the attention, as `Layers.attention` takes it; '' for none
 */
export function selfAttention(
  { layers, config }: QFormer,
  x: string,
  block: string,
  scoreBias = '',
): string {
  const { hidden_size: width, num_attention_heads: count } = config;
  const prefix = `${block}.attention`;
  const names = ['query', 'key', 'value'].map((part) => `${prefix}.attention.${part}`);
  const [query, key, value] = layers.split(layers.jointMatmul(x, names, width, width), 3);
  const bias = layers.jointBias(names, width);
  const heads = { count, size: width / count };
  const context = layers.attention(query!, key!, value!, bias, heads, scoreBias);
  return attentionOutput({ layers, config }, context, x, prefix);
}

/**
 * LN(x + output(attention(x, features))), [batch, queries, width].
 * @param features [batch, image tokens, vision width]
 */
export function crossAttention(
  { layers, config }: QFormer,
  x: string,
  features: string,
  block: string,
): string {
  const { hidden_size: width, num_attention_heads: count, encoder_hidden_size } = config;
  const prefix = `${block}.crossattention`;
  const names = ['query', 'key', 'value'].map((part) => `${prefix}.attention.${part}`);
  const query = layers.matmul(x, names[0]!, width, width);
  const keyValue = layers.jointMatmul(features, names.slice(1), encoder_hidden_size, width);
  const [key, value] = layers.split(keyValue, 2);
  const bias = layers.jointBias(names, width);
  const context = layers.attention(query, key!, value!, bias, { count, size: width / count });
  return attentionOutput({ layers, config }, context, x, prefix);
}

/** LN(x + W2 gelu(W1 x)): the layers of the queries, or those of the text. */
export function feedForward(
  { layers, config }: QFormer,
  x: string,
  block: string,
  of: 'queries' | 'text',
): string {
  const { hidden_size: width, intermediate_size: inner, layer_norm_eps: epsilon } = config;
  const suffix = of === 'queries' ? '_query' : '';
  const first = `${block}.intermediate${suffix}.dense`;
  const second = `${block}.output${suffix}.dense`;
  const active = layers.gelu(layers.matmul(x, first, width, inner), layers.bias(first, inner));
  const norm = { prefix: `${block}.output${suffix}.LayerNorm`, width, epsilon };
  const mlpOut = layers.matmul(active, second, inner, width);
  return layers.addNorm(mlpOut, x, layers.bias(second, width), norm).normed;
}

/** LN(x + dense(context)) */
function attentionOutput(
  { layers, config }: QFormer,
  context: string,
  x: string,
  prefix: string,
): string {
  const { hidden_size: width, layer_norm_eps: epsilon } = config;
  const dense = `${prefix}.output.dense`;
  return layers.addNorm(layers.matmul(context, dense, width, width), x, layers.bias(dense, width), {
    prefix: `${prefix}.output.LayerNorm`,
    width,
    epsilon,
  }).normed;
}
