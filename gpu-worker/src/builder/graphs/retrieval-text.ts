/**
 * The two graphs of a retrieval checkpoint that read text: ITC's text side, and ITM.
 * Weights have their names in transformers' `Blip2ForImageTextRetrieval`. Texts are right-padded; padding changes nothing.
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

/**
 * `input_ids` [batch, T], `lengths` [batch] → `text_embeddings` [batch, itc width]: the unit vector of [CLS].
 * The text alone, under its own attention mask (uni-modal; paper, section 3.2).
 */
export function textGraph(source: WeightSource, config: QFormerConfig, itcHidden: number) {
  const { hidden_size: width, layer_norm_eps: epsilon } = config;
  const graph = new Graph('text');
  const layers = new Layers(graph, source, 'image');
  const qformer = { layers, config };
  const { embedded, ids, lengths } = embedText(layers, config);
  const tokens = longestText(graph, ids);
  const bias = layers.paddingMask(lengths, tokens, tokens);

  let x = layers.layerNorm(embedded, 'qformer.layernorm', width, epsilon);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    x = selfAttention(qformer, x, blockName(i), bias);
    x = feedForward(qformer, x, blockName(i), 'text');
  }
  const first = graph.op('Squeeze', [layers.slice(x, 0, 1), graph.int64(1)]);
  const projected = layers.projection(first, 'text_projection', width, itcHidden);
  const unit = layers.normalize(projected);
  const embeddings = graph.output('text_embeddings', unit, 'float32', ['batch', itcHidden]);
  return describeGraph(graph, { input_ids: ids, lengths }, { itc_embeddings: embeddings });
}

/**
 * `image_features` [1, image tokens, vision width], `input_ids` [batch, T], `lengths` [batch] → `itm_logits`
 * [batch, 2] (no match, match): queries and text attend to each other, the queries also to the image
 * (bi-directional; paper, section 3.2), and the head's logits are averaged over the queries.
 */
export function itmGraph(
  source: WeightSource,
  config: QFormerConfig,
  { numQueries, imageTokens }: { numQueries: number; imageTokens: number },
) {
  const { hidden_size: width, encoder_hidden_size: visionWidth, layer_norm_eps: epsilon } = config;
  const graph = new Graph('itm');
  const layers = new Layers(graph, source, 'image');
  const qformer = { layers, config };
  const features = graph.input('image_features', 'float32', [1, imageTokens, visionWidth]);
  const { embedded, ids, lengths } = embedText(layers, config);
  const withQueries = (count: string) => graph.op('Add', [count, graph.int64(numQueries)]);
  const positions = withQueries(longestText(graph, ids));
  const bias = layers.paddingMask(withQueries(lengths), positions, positions);
  const tokens = layers.weight('query_tokens', [1, numQueries, width]);
  const joint = graph.op('Concat', [layers.expandLike(embedded, tokens), embedded], {
    attributes: { axis: 1 },
  });

  let x = layers.layerNorm(joint, 'qformer.layernorm', width, epsilon);
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
  const logits = layers.projection(queries, 'itm_head', width, 2);
  // A product, as ReduceMean adds in another order when the batch is one row.
  const shares = graph.float32(...Array<number>(numQueries).fill(1 / numQueries));
  const mean = graph.op('MatMul', [shares, logits]);
  return describeGraph(
    graph,
    { image_features: features, input_ids: ids, lengths },
    { itm_logits: graph.output('itm_logits', mean, 'float32', ['batch', 2]) },
  );
}

/** Tokens of the longest text, int64 [1]. */
function longestText(graph: Graph, ids: string): string {
  return graph.op('Shape', [ids], { attributes: { start: 1, end: 2 } });
}

/** Words and their positions, [batch, T, width]; both inputs are declared here. */
function embedText(layers: Layers, config: QFormerConfig) {
  const { hidden_size: width, vocab_size, max_position_embeddings } = config;
  const { graph } = layers;
  const ids = graph.input('input_ids', 'int64', ['batch', 'tokens']);
  const lengths = graph.input('lengths', 'int64', ['batch']);
  const words = layers.weight('embeddings.word_embeddings.weight', [vocab_size, width]);
  const table = layers.weight('embeddings.position_embeddings.weight', [
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
