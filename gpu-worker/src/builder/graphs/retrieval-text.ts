/**
 * The two graphs of a retrieval checkpoint that read text: ITC's text side, and ITM.
 * Weights have their names in transformers' `Blip2ForImageTextRetrieval`. Texts are right-padded; padding changes nothing.
 */

import { Graph } from '../../onnx/graph.ts';
import type { QFormerConfig } from '../config/model-config.ts';
import { describeGraph } from './described-graph.ts';
import { Layers, type WeightSource } from './layers.ts';
import { blockName, feedForward, selfAttention } from './qformer-block.ts';
import { embedText, longestText, type QFormerSizes, queriesWithText } from './qformer-text.ts';

const NAMES = { embeddings: 'embeddings', norm: 'qformer.layernorm' };

/**
 * `input_ids` [batch, T], `lengths` [batch] → `text_embeddings` [batch, itc width]: the unit vector of [CLS].
 * The text alone, under its own attention mask (uni-modal; paper, section 3.2).
 */
export function textGraph(source: WeightSource, config: QFormerConfig, itcHidden: number) {
  const { hidden_size: width, layer_norm_eps: epsilon } = config;
  const graph = new Graph('text');
  const layers = new Layers(graph, source, 'image');
  const qformer = { layers, config };
  const { embedded, ids, lengths } = embedText(layers, config, NAMES);
  const tokens = longestText(graph, ids);
  const bias = layers.paddingMask(lengths, tokens, tokens);

  let x = layers.layerNorm(embedded, NAMES.norm, width, epsilon);
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
export function itmGraph(source: WeightSource, config: QFormerConfig, sizes: QFormerSizes) {
  const { graph, layers, inputs, queries } = queriesWithText('itm', source, config, sizes, NAMES);
  const logits = layers.projection(queries, 'itm_head', config.hidden_size, 2);
  // A product, as ReduceMean adds in another order when the batch is one row.
  const { numQueries } = sizes;
  const shares = graph.float32(...Array<number>(numQueries).fill(1 / numQueries));
  const mean = graph.op('MatMul', [shares, logits]);
  const itm_logits = graph.output('itm_logits', mean, 'float32', ['batch', 2]);
  return describeGraph(graph, inputs, { itm_logits });
}
