/**
 * Language projection and T5 in two graphs: the encoder with what the decoder's cross-attention needs of it, and the
 * decoder. Inputs and outputs are described in README.md beside this file; names are those of transformers'
 * `T5ForConditionalGeneration`.
 */
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { Graph } from '../../onnx/graph.ts';
import { ELEMENT_TYPE } from '../../onnx/model-proto.ts';
import type { T5Config } from '../config/text-config.ts';
import { cacheHeadDim, hideUnwritten, outputRows, stepAttention } from './cached-attention.ts';
import { describeGraph } from './described-graph.ts';
import { Layers, type Source } from './layers.ts';
import { T5_MAX_POSITIONS, type T5Heads, T5Layers } from './t5-layers.ts';

const SHARED = 'language_model.shared.weight';
const HEAD = 'language_model.lm_head.weight';
/** Copies of the shared embedding that some files keep. */
export const T5_COPIES = /^language_model\.(encoder|decoder)\.embed_tokens\.weight$/;

/** What the manifest says of this decoder. */
export function describeT5(config: T5Config): Omit<GenerateManifest['decoder'], 'image_token_id'> {
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
export function t5Graphs(source: Source, config: T5Config, qformerWidth: number) {
  const { num_heads: count, d_kv: size } = config;
  const heads = { count, size, padded: cacheHeadDim(size) };
  return {
    encoder: encoderGraph(source, config, heads, qformerWidth),
    decoder: decoderGraph(source, config, heads),
  };
}

function encoderGraph(source: Source, config: T5Config, heads: T5Heads, qformerWidth: number) {
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
  const bias = bothWaysBias(layers, t5, sum, lengths);

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
    const thought = t5.feedForward(normed, `${block(i)}.layer.1.DenseReluDense`);
    const next = i + 1 < config.num_layers ? `${block(i + 1)}.layer.0.layer_norm` : last;
    ({ normed, sum } = t5.addNorm(thought, sum, next));
  }
  const rows = Array.from({ length: decoderLayers(config) }, (_, i) => {
    const prefix = `language_model.decoder.block.${i}.layer.1.EncDecAttention`;
    return t5.toHeads(normed, [`${prefix}.k`, `${prefix}.v`]);
  });
  return describeGraph(
    graph,
    { query_embeddings: images, input_ids: ids, lengths },
    { cross_keys_values: outputRows(graph, 'cross_kv', rows, heads) },
  );
}

function decoderGraph(source: Source, config: T5Config, heads: T5Heads) {
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
  const keysAndValues = (prefix: string, length: string) => {
    const dims = ['batch', heads.count, length, heads.padded];
    return Array.from({ length: count }, (_, i) => ({
      key: graph.input(`${prefix}_key.${i}`, 'float32', dims),
      value: graph.input(`${prefix}_value.${i}`, 'float32', dims),
    }));
  };
  const past = keysAndValues('past', 'cache');
  const cross = keysAndValues('cross', 'encoded');
  const counts = (value: string, axis: number) =>
    graph.op('Shape', [value], { attributes: { start: axis, end: axis + 1 } });
  const crossed = graph.op('Cast', [crossLengths], { attributes: { to: ELEMENT_TYPE.int64 } });
  const hidden = layers.hidePadding(crossed, counts(ids, 1), counts(cross[0]!.key, 2));
  const bias = stepBias(layers, t5, { positions, seqlensK, anyPast: past[0]!.key });
  const block = (i: number) => `language_model.decoder.block.${i}`;
  const last = 'language_model.decoder.final_layer_norm';
  let sum = layers.lookUp(SHARED, [vocab_size, width], ids);
  let normed = t5.norm(sum, `${block(0)}.layer.0.layer_norm`);
  const newRows: string[] = [];
  for (const [i, cached] of past.entries()) {
    const own = `${block(i)}.layer.0.SelfAttention`;
    const qkv = t5.toHeads(
      normed,
      ['q', 'k', 'v'].map((part) => `${own}.${part}`),
    );
    const [, key, value] = layers.split(qkv, 3);
    newRows.push(graph.op('Concat', [key!, value!], { attributes: { axis: -1 } }));
    const places = { graph, outer: graph };
    const context = stepAttention(places, [qkv, cached.key, cached.value, bias], {
      ...heads,
      scale: 1,
    });
    ({ normed, sum } = t5.addNorm(
      t5.fromHeads(context, `${own}.o`),
      sum,
      `${block(i)}.layer.1.layer_norm`,
    ));

    const other = `${block(i)}.layer.1.EncDecAttention`;
    const query = t5.toHeads(normed, [`${other}.q`]);
    const encoded = cross[i]!;
    const seen = layers.attention(query, encoded.key, encoded.value, '', unscaled(heads), hidden);
    ({ normed, sum } = t5.addNorm(
      t5.fromHeads(seen, `${other}.o`),
      sum,
      `${block(i)}.layer.2.layer_norm`,
    ));

    const thought = t5.feedForward(normed, `${block(i)}.layer.2.DenseReluDense`);
    const next = i + 1 < count ? `${block(i + 1)}.layer.0.layer_norm` : last;
    ({ normed, sum } = t5.addNorm(thought, sum, next));
  }
  const picked = layers.pick(normed, lastIndex);
  const logits = head(layers, picked, config);
  return describeGraph(
    graph,
    {
      input_ids: ids,
      position_ids: positions,
      last_positions: lastIndex,
      past_keys: past.map(({ key }) => key),
      past_values: past.map(({ value }) => value),
      seqlens_k: seqlensK,
      cross_keys: cross.map(({ key }) => key),
      cross_values: cross.map(({ value }) => value),
      cross_lengths: crossLengths,
    },
    {
      logits: graph.output('logits', logits, 'float32', ['batch', vocab_size]),
      new_keys_values: outputRows(graph, 'new_kv', newRows, heads),
    },
  );
}

/** T5 does not scale its scores. */
const unscaled = ({ count }: T5Heads) => ({ count, size: 1 });

/** [batch, heads, S, S] for the positions of x [batch, S, width], those past `lengths` [batch] hidden. */
function bothWaysBias(layers: Layers, t5: T5Layers, x: string, lengths: string): string {
  const { graph } = layers;
  const count = graph.op('Shape', [x], { attributes: { start: 1, end: 2 } });
  const positions = layers.upTo(count);
  const distances = graph.op('Sub', [
    graph.op('Unsqueeze', [positions, graph.int64(0)]),
    graph.op('Unsqueeze', [positions, graph.int64(1)]),
  ]);
  const bias = graph.op('Transpose', [t5.relativeBias(distances, 'encoder')], {
    attributes: { perm: [2, 0, 1] },
  });
  const relative = graph.op('Unsqueeze', [bias, graph.int64(0)]);
  return graph.op('Add', [relative, layers.hidePadding(lengths, count, count)]);
}

/** [batch, heads, 1, 1 + cache] for rows at `positions` [batch, 1]: of the row's own position, then of its cache. */
function stepBias(
  layers: Layers,
  t5: T5Layers,
  { positions, seqlensK, anyPast }: { positions: string; seqlensK: string; anyPast: string },
): string {
  const { graph } = layers;
  const capacity = graph.op('Shape', [anyPast], { attributes: { start: 2, end: 3 } });
  const cached = graph.op('Sub', [layers.upTo(capacity), positions]);
  const own = graph.op('Sub', [positions, positions]);
  const distances = graph.op('Concat', [own, cached], { attributes: { axis: -1 } });
  const relative = graph.op('Transpose', [t5.relativeBias(distances, 'decoder')], {
    attributes: { perm: [0, 2, 1] },
  });
  const perHead = graph.op('Unsqueeze', [relative, graph.int64(2)]);
  return graph.op('Add', [perHead, hideUnwritten(layers, seqlensK, anyPast)]);
}

/** x [batch, width] → logits [batch, vocab]; a head of its own where the file holds one. */
function head(layers: Layers, x: string, config: T5Config): string {
  const { d_model: width, vocab_size, scale_decoder_outputs, tie_word_embeddings } = config;
  const { graph, checkpoint } = layers;
  // T5 1.0 scales what goes into its tied head; FlanT5 does not.
  const isScaled = scale_decoder_outputs ?? tie_word_embeddings !== false;
  const scaled = isScaled ? graph.op('Mul', [x, graph.float32(width ** -0.5)]) : x;
  return layers.vocabulary(scaled, checkpoint.has(HEAD) ? HEAD : SHARED, [vocab_size, width]);
}
