/**
 * Q-Former: image features → query embeddings. Weights have their names in transformers' `Blip2QFormerModel` and
 * `InstructBlipQFormerModel`.
 */

import { Graph } from '../../onnx/graph.ts';
import type { QFormerConfig } from '../config/model-config.ts';
import { describeGraph } from './described-graph.ts';
import { Layers, type WeightSource } from './layers.ts';
import {
  blockName,
  crossAttention,
  feedForward,
  hasCrossAttention,
  selfAttention,
} from './qformer-block.ts';
import { type QFormerSizes, queriesWithText } from './qformer-text.ts';

/** `image_features` [batch, image tokens, vision width] → `query_embeddings` [batch, queries, width]. */
export function qformerGraph(source: WeightSource, config: QFormerConfig, sizes: QFormerSizes) {
  const { graph, features, queries } = queriesOfImage(source, config, sizes);
  return describeGraph(graph, { image_features: features }, { query_embeddings: queries });
}

/**
 * The same, and for ITC `image_embeddings` [batch, queries, itc width], unit vectors (paper, section 3.1).
 * @param itcHidden width of the ITC space
 */
export function itcQformerGraph(
  source: WeightSource,
  config: QFormerConfig,
  sizes: QFormerSizes,
  itcHidden: number,
) {
  const { graph, layers, features, queries, x } = queriesOfImage(source, config, sizes);
  const unit = layers.normalize(
    layers.projection(x, 'vision_projection', config.hidden_size, itcHidden),
  );
  const dims = ['batch', sizes.numQueries, itcHidden];
  return describeGraph(
    graph,
    { image_features: features },
    {
      query_embeddings: queries,
      itc_embeddings: graph.output('image_embeddings', unit, 'float32', dims),
    },
  );
}

/**
 * InstructBLIP's: `image_features` [1, image tokens, vision width], `input_ids` [batch, T], `lengths` [batch] →
 * `query_embeddings` [batch, queries, width], one row for each instruction (arXiv 2305.06500, section 2.3).
 */
export function instructQformerGraph(
  source: WeightSource,
  config: QFormerConfig,
  sizes: QFormerSizes,
) {
  const { graph, inputs, queries } = queriesWithText('qformer', source, config, sizes, {
    embeddings: 'qformer.embeddings',
    norm: 'qformer.embeddings.layernorm',
  });
  const dims = ['batch', sizes.numQueries, config.hidden_size];
  const query_embeddings = graph.output('query_embeddings', queries, 'float32', dims);
  return describeGraph(graph, inputs, { query_embeddings });
}

/** @returns the graph so far, names of its input and output, and x, the output's value */
function queriesOfImage(
  source: WeightSource,
  config: QFormerConfig,
  { numQueries, imageTokens }: QFormerSizes,
) {
  const { hidden_size: width, encoder_hidden_size: visionWidth, layer_norm_eps: epsilon } = config;
  const graph = new Graph('qformer');
  const layers = new Layers(graph, source, 'image');
  const qformer = { layers, config };
  const features = graph.input('image_features', 'float32', ['batch', imageTokens, visionWidth]);
  const tokens = layers.weight('query_tokens', [1, numQueries, width]);
  const start = layers.layerNorm(tokens, 'qformer.layernorm', width, epsilon);

  let x = layers.expandLike(features, start);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const block = blockName(i);
    x = selfAttention(qformer, x, block);
    if (hasCrossAttention(config, i)) x = crossAttention(qformer, x, features, block);
    x = feedForward(qformer, x, block, 'queries');
  }
  const queries = graph.output('query_embeddings', x, 'float32', ['batch', numQueries, width]);
  return { graph, layers, features, queries, x };
}
