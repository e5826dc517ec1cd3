/** Q-Former: image features → query embeddings. Names as in transformers' `Blip2QFormerModel`. */
import type { Checkpoint } from './checkpoint.ts';
import type { QFormerConfig } from './config.ts';
import { Graph } from './graph.ts';
import { Layers } from './layers.ts';

/**
 * `image_features` [batch, image tokens, vision width] → `query_embeddings` [batch, queries, width].
 * BERT blocks, post-LN; every `cross_attention_frequency`-th also looks at the image; only the
 * queries' feed-forward layers (`*_query`) are used.
 */
export function qformerGraph(
  checkpoint: Checkpoint,
  config: QFormerConfig,
  { numQueries, imageTokens }: { numQueries: number; imageTokens: number },
): Graph {
  const { hidden_size: width, encoder_hidden_size: visionWidth, layer_norm_eps: epsilon } = config;
  const graph = new Graph('qformer');
  const layers = new Layers(graph, checkpoint);
  const features = graph.input('image_features', 'float32', ['batch', imageTokens, visionWidth]);
  const tokens = layers.tensor('query_tokens', [1, numQueries, width]);
  const start = layers.layerNorm(tokens, 'qformer.layernorm', width, epsilon);

  let x = layers.repeatFor(features, start);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const block = `qformer.encoder.layer.${i}`;
    x = attentionBlock(layers, x, x, `${block}.attention`, config, width);
    if (i % config.cross_attention_frequency === 0) {
      x = attentionBlock(layers, x, features, `${block}.crossattention`, config, visionWidth);
    }
    x = feedForward(layers, x, block, config);
  }
  graph.output('query_embeddings', x, 'float32', ['batch', numQueries, width]);
  return graph;
}

/** LN(x + output(attention(x, source))): self-attention where source is x, else cross-attention. */
function attentionBlock(
  layers: Layers,
  x: string,
  source: string,
  prefix: string,
  { hidden_size: width, num_attention_heads: count, layer_norm_eps: epsilon }: QFormerConfig,
  sourceWidth: number,
): string {
  const names = ['query', 'key', 'value'].map((part) => `${prefix}.attention.${part}`);
  const [query, key, value] =
    source === x
      ? layers.split(layers.jointMatmul(x, names, width, width), 3)
      : [
          layers.matmul(x, names[0]!, width, width),
          ...layers.split(layers.jointMatmul(source, names.slice(1), sourceWidth, width), 2),
        ];
  const bias = layers.jointBias(names, width);
  const heads = { count, size: width / count };
  const context = layers.attention(query!, key!, value!, bias, heads);
  const dense = `${prefix}.output.dense`;
  return layers.addNorm(layers.matmul(context, dense, width, width), x, layers.bias(dense, width), {
    prefix: `${prefix}.output.LayerNorm`,
    width,
    epsilon,
  }).normed;
}

/** LN(x + W2 gelu(W1 x)) of the queries. */
function feedForward(layers: Layers, x: string, block: string, config: QFormerConfig): string {
  const { hidden_size: width, intermediate_size: inner, layer_norm_eps: epsilon } = config;
  const [first, second] = [`${block}.intermediate_query.dense`, `${block}.output_query.dense`];
  const active = layers.gelu(layers.matmul(x, first, width, inner), layers.bias(first, inner));
  const norm = { prefix: `${block}.output_query.LayerNorm`, width, epsilon };
  const thought = layers.matmul(active, second, inner, width);
  return layers.addNorm(thought, x, layers.bias(second, width), norm).normed;
}
