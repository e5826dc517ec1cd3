/** Q-Former: image features → query embeddings. Names as in transformers' `Blip2QFormerModel`. */

import { Graph } from '../../onnx/graph.ts';
import type { QFormerConfig } from '../config/model-config.ts';
import { describeGraph } from './described-graph.ts';
import { Layers, type Source } from './layers.ts';
import {
  blockName,
  crossAttention,
  feedForward,
  looksAtImage,
  selfAttention,
} from './qformer-block.ts';

export type QFormerSizes = { numQueries: number; imageTokens: number };

/** `image_features` [batch, image tokens, vision width] → `query_embeddings` [batch, queries, width]. */
export function qformerGraph(source: Source, config: QFormerConfig, sizes: QFormerSizes) {
  const { graph, features, queries } = queriesOfImage(source, config, sizes);
  return describeGraph(graph, { image_features: features }, { query_embeddings: queries });
}

/**
 * The same, and for ITC `image_embeddings` [batch, queries, itc width], unit vectors (paper, section 3.1).
 * @param itcHidden width of the ITC space
 */
export function itcQformerGraph(
  source: Source,
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

/** @returns the graph so far, names of its input and output, and x, the output's value */
function queriesOfImage(
  source: Source,
  config: QFormerConfig,
  { numQueries, imageTokens }: QFormerSizes,
) {
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
  const queries = graph.output('query_embeddings', x, 'float32', ['batch', numQueries, width]);
  return { graph, layers, features, queries, x };
}
