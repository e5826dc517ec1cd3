/** Q-Former: image features → query embeddings. Names as in transformers' `Blip2QFormerModel`. */

import { Graph } from '../../onnx/graph.ts';
import type { QFormerConfig } from '../config/model-config.ts';
import { Layers, type Source } from './layers.ts';
import {
  blockName,
  crossAttention,
  feedForward,
  looksAtImage,
  selfAttention,
} from './qformer-block.ts';

export type QFormerOptions = {
  numQueries: number;
  imageTokens: number;
  /** Width of the ITC space, of a checkpoint that compares: its graph gives `image_embeddings` too. */
  itcHidden?: number;
};

/**
 * `image_features` [batch, image tokens, vision width] → `query_embeddings` [batch, queries, width], and for
 * ITC `image_embeddings` [batch, queries, itc width], unit vectors (paper, section 3.1).
 */
export function qformerGraph(
  source: Source,
  config: QFormerConfig,
  { numQueries, imageTokens, itcHidden }: QFormerOptions,
): Graph {
  const { hidden_size: width, encoder_hidden_size: visionWidth, layer_norm_eps: epsilon } = config;
  const graph = new Graph('qformer');
  const layers = new Layers(graph, source, 'image');
  const setting = { layers, config };
  const features = graph.input('image_features', 'float32', ['batch', imageTokens, visionWidth]);
  const tokens = layers.tensor('query_tokens', [1, numQueries, width]);
  const start = layers.layerNorm(tokens, 'qformer.layernorm', width, epsilon);

  let x = layers.repeatFor(features, start);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const block = blockName(i);
    x = selfAttention(setting, x, block);
    if (looksAtImage(config, i)) x = crossAttention(setting, x, features, block);
    x = feedForward(setting, x, block, 'queries');
  }
  graph.output('query_embeddings', x, 'float32', ['batch', numQueries, width]);
  if (itcHidden !== undefined) {
    const projected = layers.projection(x, 'vision_projection', width, itcHidden);
    const unit = layers.normalize(projected);
    graph.output('image_embeddings', unit, 'float32', ['batch', numQueries, itcHidden]);
  }
  return graph;
}
