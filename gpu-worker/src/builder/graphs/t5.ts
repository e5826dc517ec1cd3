/**
 * Language projection and T5 in two graphs: the encoder with what the decoder's cross-attention needs of it, and the
 * decoder. Inputs and outputs are described in ../README.md; weights have their names in transformers'
 * `T5ForConditionalGeneration`.
 */
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import { Graph } from '../../onnx/graph.ts';
import { ELEMENT_TYPE } from '../../onnx/model-proto.ts';
import type { T5Config } from '../config/text-config.ts';
import { cacheHeadDim, cacheMask, outputKeysValues, stepAttention } from './cached-attention.ts';
import { describeGraph } from './described-graph.ts';
import { Layers, type WeightSource } from './layers.ts';
import { T5_MAX_POSITIONS, type T5Heads, T5Layers } from './t5-layers.ts';

const SHARED = 'language_model.shared.weight';
const HEAD = 'language_model.lm_head.weight';
/** Copies of the shared embedding that some checkpoints hold. */
export const T5_COPIES = /^language_model\.(encoder|decoder)\.embed_tokens\.weight$/;

/** What the manifest says of this decoder. */
export function describeT5(
  config: T5Config,
): Omit<GenerativeManifest['decoder'], 'image_token_id'> {
  return {
    layers: decoderLayers(config),
    heads: config.num_heads,
    head_dim: cacheHeadDim(config.d_kv),
    hidden: config.d_model,
    vocab: config.vocab_size,
    max_positions: T5_MAX_POSITIONS,
  };
}

function decoderLayers(config: T5Config): number {
  return config.num_decoder_layers ?? config.num_layers;
}

/** @param qformerWidth width of the query embeddings */
export function t5Graphs(source: WeightSource, config: T5Config, qformerWidth: number) {
  const { num_heads: count, d_kv: size } = config;
  const heads = { count, size, padded: cacheHeadDim(size) };
  return {
    encoder: encoderGraph(source, config, heads, qformerWidth),
    decoder: decoderGraph(source, config, heads),
  };
}

function encoderGraph(
  source: WeightSource,
  config: T5Config,
  heads: T5Heads,
  qformerWidth: number,
) {
  const { d_model: width, vocab_size } = config;
  const graph = new Graph('encoder');
  const layers = new Layers(graph, source, 'text');
  const t5 = new T5Layers(layers, config, heads);
  const images = graph.input('image_embeddings', 'float32', ['batch', 'image', qformerWidth]);
  const ids = graph.input('input_ids', 'int64', ['batch', 'text']);
  const lengths = graph.input('lengths', 'int64', ['batch']);
  const projected = layers.projection(images, 'language_projection', qformerWidth, width);
  const words = layers.lookUp(SHARED, [vocab_size, width], ids);
  let sum = graph.op('Concat', [projected, words], { attributes: { axis: 1 } });
  const bias = bidirectionalBias(layers, t5, sum, lengths);

  const block = (i: number) => `language_model.encoder.block.${i}`;
  const last = 'language_model.encoder.final_layer_norm';
  let normed = t5.norm(sum, `${block(0)}.layer.0.layer_norm`);
  for (let i = 0; i < config.num_layers; i++) {
    const prefix = `${block(i)}.layer.0.SelfAttention`;
    const names = ['q', 'k', 'v'].map((part) => `${prefix}.${part}`);
    const [query, key, value] = layers.split(t5.toHeads(normed, names), 3);
    const context = layers.attention(query!, key!, value!, '', unscaled(heads), bias);
    const attended = t5.fromHeads(context, `${prefix}.o`);
    ({ normed, sum } = t5.addNorm(attended, sum, `${block(i)}.layer.1.layer_norm`));
    const mlpOut = t5.feedForward(normed, `${block(i)}.layer.1.DenseReluDense`);
    const next = i + 1 < config.num_layers ? `${block(i + 1)}.layer.0.layer_norm` : last;
    ({ normed, sum } = t5.addNorm(mlpOut, sum, next));
  }
  const crossKeysValues = Array.from({ length: decoderLayers(config) }, (_, i) => {
    const prefix = `language_model.decoder.block.${i}.layer.1.EncDecAttention`;
    return t5.toHeads(normed, [`${prefix}.k`, `${prefix}.v`]);
  });
  return describeGraph(
    graph,
    { query_embeddings: images, input_ids: ids, lengths },
    { cross_keys_values: outputKeysValues(graph, 'cross_kv', crossKeysValues, heads) },
  );
}

function decoderGraph(source: WeightSource, config: T5Config, heads: T5Heads) {
  const { d_model: width, vocab_size } = config;
  const graph = new Graph('decoder');
  const layers = new Layers(graph, source, 'text');
  const t5 = new T5Layers(layers, config, heads);
  const ids = graph.input('input_ids', 'int64', ['batch', 1]);
  const positions = graph.input('position_ids', 'int64', ['batch', 1]);
  const lastIndex = graph.input('last_index', 'int64', ['batch']);
  const seqlensK = graph.input('seqlens_k', 'int32', ['batch']);
  const crossLengths = graph.input('cross_lengths', 'int32', ['batch']);
  const count = decoderLayers(config);
  const declareKeysValues = (prefix: string, length: string) => {
    const dims = ['batch', heads.count, length, heads.padded];
    return Array.from({ length: count }, (_, i) => ({
      keys: graph.input(`${prefix}_key.${i}`, 'float32', dims),
      values: graph.input(`${prefix}_value.${i}`, 'float32', dims),
    }));
  };
  const past = declareKeysValues('past', 'cache');
  const cross = declareKeysValues('cross', 'encoded');
  const dimOf = (value: string, axis: number) =>
    graph.op('Shape', [value], { attributes: { start: axis, end: axis + 1 } });
  const crossed = graph.op('Cast', [crossLengths], { attributes: { to: ELEMENT_TYPE.int64 } });
  const crossMask = layers.paddingMask(crossed, dimOf(ids, 1), dimOf(cross[0]!.keys, 2));
  const bias = stepBias(layers, t5, { positions, seqlensK, anyPast: past[0]!.keys });
  const block = (i: number) => `language_model.decoder.block.${i}`;
  const last = 'language_model.decoder.final_layer_norm';
  let sum = layers.lookUp(SHARED, [vocab_size, width], ids);
  let normed = t5.norm(sum, `${block(0)}.layer.0.layer_norm`);
  const newKeysValues: string[] = [];
  for (const [i, cached] of past.entries()) {
    const selfAttention = `${block(i)}.layer.0.SelfAttention`;
    const qkv = t5.toHeads(
      normed,
      ['q', 'k', 'v'].map((part) => `${selfAttention}.${part}`),
    );
    const [, key, value] = layers.split(qkv, 3);
    newKeysValues.push(graph.op('Concat', [key!, value!], { attributes: { axis: -1 } }));
    const context = stepAttention(
      { graph, outer: graph },
      { qkv, ...cached, bias },
      { ...heads, scale: 1 },
    );
    ({ normed, sum } = t5.addNorm(
      t5.fromHeads(context, `${selfAttention}.o`),
      sum,
      `${block(i)}.layer.1.layer_norm`,
    ));

    const crossAttention = `${block(i)}.layer.1.EncDecAttention`;
    const query = t5.toHeads(normed, [`${crossAttention}.q`]);
    const { keys, values } = cross[i]!;
    const crossOut = layers.attention(query, keys, values, '', unscaled(heads), crossMask);
    ({ normed, sum } = t5.addNorm(
      t5.fromHeads(crossOut, `${crossAttention}.o`),
      sum,
      `${block(i)}.layer.2.layer_norm`,
    ));

    const mlpOut = t5.feedForward(normed, `${block(i)}.layer.2.DenseReluDense`);
    const next = i + 1 < count ? `${block(i + 1)}.layer.0.layer_norm` : last;
    ({ normed, sum } = t5.addNorm(mlpOut, sum, next));
  }
  const lastState = layers.gatherPositions(normed, lastIndex);
  const logits = head(layers, lastState, config);
  return describeGraph(
    graph,
    {
      input_ids: ids,
      position_ids: positions,
      last_positions: lastIndex,
      past_keys: past.map(({ keys }) => keys),
      past_values: past.map(({ values }) => values),
      seqlens_k: seqlensK,
      cross_keys: cross.map(({ keys }) => keys),
      cross_values: cross.map(({ values }) => values),
      cross_lengths: crossLengths,
    },
    {
      logits: graph.output('logits', logits, 'float32', ['batch', vocab_size]),
      new_keys_values: outputKeysValues(graph, 'new_kv', newKeysValues, heads),
    },
  );
}

/** T5 does not scale its scores. */
const unscaled = ({ count }: T5Heads) => ({ count, size: 1 });

/** [batch, heads, S, S] for the positions of x [batch, S, width], those past `lengths` [batch] masked. */
function bidirectionalBias(layers: Layers, t5: T5Layers, x: string, lengths: string): string {
  const { graph } = layers;
  const count = graph.op('Shape', [x], { attributes: { start: 1, end: 2 } });
  const positions = layers.arange(count);
  const distances = graph.op('Sub', [
    graph.op('Unsqueeze', [positions, graph.int64(0)]),
    graph.op('Unsqueeze', [positions, graph.int64(1)]),
  ]);
  const bias = graph.op('Transpose', [t5.relativeBias(distances, 'encoder')], {
    attributes: { perm: [2, 0, 1] },
  });
  const relative = graph.op('Unsqueeze', [bias, graph.int64(0)]);
  return graph.op('Add', [relative, layers.paddingMask(lengths, count, count)]);
}

/** [batch, heads, 1, 1 + cache] for rows at `positions` [batch, 1]: of the row's own position, then of its cache. */
function stepBias(
  layers: Layers,
  t5: T5Layers,
  { positions, seqlensK, anyPast }: { positions: string; seqlensK: string; anyPast: string },
): string {
  const { graph } = layers;
  const capacity = graph.op('Shape', [anyPast], { attributes: { start: 2, end: 3 } });
  const cached = graph.op('Sub', [layers.arange(capacity), positions]);
  const own = graph.op('Sub', [positions, positions]);
  const distances = graph.op('Concat', [own, cached], { attributes: { axis: -1 } });
  const relative = graph.op('Transpose', [t5.relativeBias(distances, 'decoder')], {
    attributes: { perm: [0, 2, 1] },
  });
  const perHead = graph.op('Unsqueeze', [relative, graph.int64(2)]);
  return graph.op('Add', [perHead, cacheMask(layers, seqlensK, anyPast)]);
}

/** x [batch, width] → logits [batch, vocab]; a head of its own where the file holds one. */
function head(layers: Layers, x: string, config: T5Config): string {
  const { d_model: width, vocab_size, scale_decoder_outputs, tie_word_embeddings } = config;
  const { graph, checkpoint } = layers;
  // T5 1.0 scales what goes into its tied head; FlanT5 does not.
  const isScaled = scale_decoder_outputs ?? tie_word_embeddings !== false;
  const scaled = isScaled ? graph.op('Mul', [x, graph.float32(width ** -0.5)]) : x;
  return layers.lmHead(scaled, checkpoint.has(HEAD) ? HEAD : SHARED, [vocab_size, width]);
}
