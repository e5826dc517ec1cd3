/** Image encoder, EVA-CLIP ViT: pixels → image features. Weights have their names in transformers' `Blip2VisionModel`. */

import { Graph } from '../../onnx/graph.ts';
import type { VisionConfig } from '../config/model-config.ts';
import { describeGraph } from './described-graph.ts';
import { Layers, type WeightSource } from './layers.ts';
import { positionEmbedding } from './position-embedding.ts';

/** Patches of a square image, and the class token. */
export function imageTokens({ size, patch }: { size: number; patch: number }): number {
  return (size / patch) ** 2 + 1;
}

/**
 * `pixel_values` [batch, 3, side, side] → `image_features` [batch, image tokens, width]:
 * pre-LN blocks (behind one more norm in CLIP's ViT-L), one fused q-k-v MatMul each, post-LN over all tokens at the end.
 * @param side of the images, pixels; where it is not the checkpoint's own, positions are interpolated
 */
export function visionGraph(source: WeightSource, config: VisionConfig, side: number) {
  const { hidden_size: width, layer_norm_eps: epsilon } = config;
  const graph = new Graph('vision');
  const layers = new Layers(graph, source, 'image');
  const heads = { count: config.num_attention_heads, size: width / config.num_attention_heads };
  const tokens = imageTokens({ size: side, patch: config.patch_size });
  const norm = (prefix: string) => ({ prefix, width, epsilon });
  const block = (i: number) => `vision_model.encoder.layers.${i}`;
  const last = 'vision_model.post_layernorm';

  const pixels = graph.input('pixel_values', 'float32', ['batch', 3, side, side]);
  let sum = embed(layers, pixels, config, side);
  if (config.pre_layernorm) {
    sum = layers.layerNorm(sum, 'vision_model.pre_layernorm', width, epsilon);
  }
  let normed = layers.layerNorm(sum, `${block(0)}.layer_norm1`, width, epsilon);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const qkv = `${block(i)}.self_attn.qkv`;
    const parts = layers.split(layers.matmul(normed, qkv, width, 3 * width), 3);
    const bias = config.qkv_bias ? layers.bias(qkv, 3 * width) : '';
    const [query, key, value] = parts as [string, string, string];
    const context = layers.attention(query, key, value, bias, heads);
    const projection = `${block(i)}.self_attn.projection`;
    const attended = layers.matmul(context, projection, width, width);
    const mid = norm(`${block(i)}.layer_norm2`);
    ({ normed, sum } = layers.addNorm(attended, sum, layers.bias(projection, width), mid));

    const [fc1, fc2] = [`${block(i)}.mlp.fc1`, `${block(i)}.mlp.fc2`];
    const inner = config.intermediate_size;
    const hidden = layers.matmul(normed, fc1, width, inner);
    const activation = config.hidden_act === 'gelu' ? 'gelu' : 'quickGelu';
    const active = layers[activation](hidden, layers.bias(fc1, inner));
    const mlpOut = layers.matmul(active, fc2, inner, width);
    const next = norm(i + 1 < config.num_hidden_layers ? `${block(i + 1)}.layer_norm1` : last);
    ({ normed, sum } = layers.addNorm(mlpOut, sum, layers.bias(fc2, width), next));
  }
  const features = graph.output('image_features', normed, 'float32', ['batch', tokens, width]);
  return describeGraph(graph, { pixels }, { image_features: features });
}

/** Class token and patches, each with its learned position: [batch, image tokens, width]. */
function embed(layers: Layers, pixels: string, config: VisionConfig, side: number): string {
  const { graph } = layers;
  const { hidden_size: width, patch_size: patch } = config;
  const prefix = 'vision_model.embeddings';
  const kernel = layers.weight(`${prefix}.patch_embedding.weight`, [width, 3, patch, patch]);
  const bias = layers.bias(`${prefix}.patch_embedding`, width);
  const grid = graph.op('Conv', [pixels, kernel, bias], {
    attributes: { kernel_shape: [patch, patch], strides: [patch, patch] },
  });
  const flat = graph.op('Reshape', [grid, graph.int64(0, width, -1)]);
  const patches = graph.op('Transpose', [flat], { attributes: { perm: [0, 2, 1] } });
  const classToken = layers.weight(`${prefix}.class_embedding`, [1, 1, width]);
  const tokens = graph.op('Concat', [layers.expandLike(pixels, classToken), patches], {
    attributes: { axis: 1 },
  });
  const positions = positionEmbedding(layers, config, side);
  return graph.op('Add', [tokens, positions]);
}
