/** What the graphs of a Q-Former that reads text share: its embeddings, and queries and text that attend to each other. */

import { Graph } from '../../onnx/graph.ts';
import type { QFormerConfig } from '../config/model-config.ts';
import { Layers, type WeightSource } from './layers.ts';
import {
  blockName,
  crossAttention,
  feedForward,
  hasCrossAttention,
  selfAttention,
} from './qformer-block.ts';

export type QFormerSizes = { numQueries: number; imageTokens: number };

/** Prefixes of the tensors in front of the first block, which retrieval models and InstructBLIP name each in its own way. */
export type TextNames = { embeddings: string; norm: string };

/**
 * The query embeddings of one image for each of several texts, [batch, queries, width]: queries and text attend to each
 * other, the queries also to the image. Texts are right-padded; padding changes nothing.
 * @param name of the graph
 * @returns the graph so far, and names of its inputs: `image_features` [1, image tokens, vision width], `input_ids`
 *   [batch, T], `lengths` [batch]
 */
export function queriesWithText(
  name: string,
  source: WeightSource,
  config: QFormerConfig,
  { numQueries, imageTokens }: QFormerSizes,
  names: TextNames,
) {
  const { hidden_size: width, encoder_hidden_size: visionWidth, layer_norm_eps: epsilon } = config;
  const graph = new Graph(name);
  const layers = new Layers(graph, source, 'image');
  const qformer = { layers, config };
  const features = graph.input('image_features', 'float32', [1, imageTokens, visionWidth]);
  const { embedded, ids, lengths } = embedText(layers, config, names);
  const withQueries = (count: string) => graph.op('Add', [count, graph.int64(numQueries)]);
  const positions = withQueries(longestText(graph, ids));
  const bias = layers.paddingMask(withQueries(lengths), positions, positions);
  const tokens = layers.weight('query_tokens', [1, numQueries, width]);
  const joint = graph.op('Concat', [layers.expandLike(embedded, tokens), embedded], {
    attributes: { axis: 1 },
  });

  let x = layers.layerNorm(joint, names.norm, width, epsilon);
  let queries = x;
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const block = blockName(i);
    const attended = selfAttention(qformer, x, block, bias);
    queries = layers.slice(attended, 0, numQueries);
    if (hasCrossAttention(config, i)) {
      // The rows' queries side by side are those of one image: its keys and values are computed once.
      const ofAllRows = graph.op('Reshape', [queries, graph.int64(1, -1, width)]);
      const crossOut = crossAttention(qformer, ofAllRows, features, block);
      queries = graph.op('Reshape', [crossOut, graph.int64(-1, numQueries, width)]);
    }
    queries = feedForward(qformer, queries, block, 'queries');
    // Of the last block only the queries are read.
    if (i + 1 === config.num_hidden_layers) break;
    const text = feedForward(qformer, layers.slice(attended, numQueries), block, 'text');
    x = graph.op('Concat', [queries, text], { attributes: { axis: 1 } });
  }
  return { graph, layers, inputs: { image_features: features, input_ids: ids, lengths }, queries };
}

/** Tokens of the longest text, int64 [1]. */
export function longestText(graph: Graph, ids: string): string {
  return graph.op('Shape', [ids], { attributes: { start: 1, end: 2 } });
}

/** Words and their positions, [batch, T, width]; both inputs are declared here. */
export function embedText(layers: Layers, config: QFormerConfig, { embeddings }: TextNames) {
  const { hidden_size: width, vocab_size, max_position_embeddings } = config;
  const { graph } = layers;
  const ids = graph.input('input_ids', 'int64', ['batch', 'tokens']);
  const lengths = graph.input('lengths', 'int64', ['batch']);
  const words = layers.weight(`${embeddings}.word_embeddings.weight`, [vocab_size, width]);
  const table = layers.weight(`${embeddings}.position_embeddings.weight`, [
    max_position_embeddings,
    width,
  ]);
  const positions = graph.op('Slice', [
    table,
    graph.int64(0),
    longestText(graph, ids),
    graph.int64(0),
  ]);
  const embedded = graph.op('Add', [graph.op('Gather', [words, ids]), positions]);
  return { embedded, ids, lengths };
}
