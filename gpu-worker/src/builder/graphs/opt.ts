/**
 * Language projection and OPT decoder in one graph, for prefill and decode steps alike.
 * Inputs and outputs are described in README.md beside this file; names are those of transformers'
 * `OPTForCausalLM`. The cache is only read: `new_kv` brings the rows of this run for the caller to
 * write into it, as the binding copies every output it returns and a whole cache is too much to copy.
 */

import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { Graph } from '../../onnx/graph.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { OptConfig } from '../config/text-config.ts';
import { fromHeads, type HeadPadding, joined, rowsFrom, stacked } from '../weights/weights.ts';
import {
  type CacheInputs,
  cachedAttention,
  cacheHeadDim,
  cacheInputs,
  outputRows,
} from './cached-attention.ts';
import { describeGraph } from './described-graph.ts';
import { Layers, type Source } from './layers.ts';

const LAYER_NORM_EPSILON = 1e-5;
/** OPT's position table starts with this many rows that no position uses. */
const POSITION_OFFSET = 2;
const DECODER = 'language_model.model.decoder';
const EMBED = `${DECODER}.embed_tokens.weight`;
const HEAD = 'language_model.lm_head.weight';

/** What the manifest says of this decoder. */
export function describeOpt(
  config: OptConfig,
): Omit<GenerateManifest['decoder'], 'image_token_id'> {
  return {
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    head_dim: cacheHeadDim(config.hidden_size / config.num_attention_heads),
    hidden: config.hidden_size,
    vocab: config.vocab_size,
    max_positions: config.max_position_embeddings,
  };
}

/** @param qformerWidth width of the query embeddings */
export function optGraph(source: Source, config: OptConfig, qformerWidth: number) {
  const { hidden_size: width, num_attention_heads: count } = config;
  const heads = { count, size: width / count, padded: cacheHeadDim(width / count) };
  const graph = new Graph('decoder');
  const layers = new Layers(graph, source, 'text');
  const norm = (prefix: string) => ({ prefix, width, epsilon: LAYER_NORM_EPSILON });
  const block = (i: number) => `${DECODER}.layers.${i}`;
  const last = `${DECODER}.final_layer_norm`;

  const { embedded, inputs } = embed(layers, config, qformerWidth);
  let sum = embedded;
  const lastIndex = graph.input('last_index', 'int64', ['batch', 'picked']);
  const kvDims = ['batch', count, 'cache', heads.padded];
  const past = Array.from({ length: config.num_hidden_layers }, (_, i) => ({
    key: graph.input(`past_key.${i}`, 'float32', kvDims),
    value: graph.input(`past_value.${i}`, 'float32', kvDims),
  }));
  const cache = cacheInputs(layers, inputs.position_ids, past[0]!.key);
  const newRows: string[] = [];
  const first = `${block(0)}.self_attn_layer_norm`;
  let normed = layers.layerNorm(sum, first, width, LAYER_NORM_EPSILON);
  for (const [i, { key, value }] of past.entries()) {
    const own = { prefix: `${block(i)}.self_attn`, past: [key, value] as const };
    const attention = selfAttention(layers, normed, own, heads, cache);
    newRows.push(attention.rows);
    let { context } = attention;
    if (i + 1 === config.num_hidden_layers) {
      // Behind the last keys and values nobody looks at the other positions.
      [context, sum] = [layers.pick(context, lastIndex), layers.pick(sum, lastIndex)];
    }
    const outName = `${block(i)}.self_attn.out_proj.weight`;
    const outWeight = fromHeads(layers.checkpoint.take(outName, [width, width]), heads);
    const out = layers.product(context, outName, outWeight);
    const outBias = layers.bias(`${block(i)}.self_attn.out_proj`, width);
    const mid = norm(`${block(i)}.final_layer_norm`);
    ({ normed, sum } = layers.addNorm(out, sum, outBias, mid));

    const hidden = layers.matmul(normed, `${block(i)}.fc1`, width, config.ffn_dim);
    const biased = graph.op('Add', [hidden, layers.bias(`${block(i)}.fc1`, config.ffn_dim)]);
    const active = graph.op('Relu', [biased]);
    const thought = layers.matmul(active, `${block(i)}.fc2`, config.ffn_dim, width);
    const next = norm(
      i + 1 < config.num_hidden_layers ? `${block(i + 1)}.self_attn_layer_norm` : last,
    );
    ({ normed, sum } = layers.addNorm(thought, sum, layers.bias(`${block(i)}.fc2`, width), next));
  }
  const state = graph.op('Squeeze', [layers.slice(normed, 0, 1), graph.int64(1)]);
  const logits = head(layers, state, config);
  return describeGraph(
    graph,
    {
      ...inputs,
      last_positions: lastIndex,
      past_keys: past.map(({ key }) => key),
      past_values: past.map(({ value }) => value),
      seqlens_k: cache.seqlensK,
      total_sequence_length: cache.totalLength,
    },
    {
      logits: graph.output('logits', logits, 'float32', ['batch', config.vocab_size]),
      new_keys_values: outputRows(graph, 'new_kv', newRows, heads),
    },
  );
}

/** project(image_embeddings) ‖ embed(input_ids), plus positions: [batch, image + text, width]; and the inputs, by role. */
function embed(layers: Layers, config: OptConfig, qformerWidth: number) {
  const { graph } = layers;
  const { hidden_size: width, max_position_embeddings: positions } = config;
  const images = graph.input('image_embeddings', 'float32', ['batch', 'image', qformerWidth]);
  const ids = graph.input('input_ids', 'int64', ['batch', 'text']);
  const positionIds = graph.input('position_ids', 'int64', ['batch', 'sequence']);
  const projected = layers.projection(images, 'language_projection', qformerWidth, width);
  const { embedding } = vocabularyTensors(layers.checkpoint, config);
  const words = layers.lookUp(embedding, [config.vocab_size, width], ids);
  const tokens = graph.op('Concat', [projected, words], { attributes: { axis: 1 } });
  const name = `${DECODER}.embed_positions.weight`;
  const table = layers.checkpoint.take(name, [positions + POSITION_OFFSET, width]);
  const used = graph.weight(name, rowsFrom(table, POSITION_OFFSET));
  return {
    embedded: graph.op('Add', [tokens, graph.op('Gather', [used, positionIds])]),
    inputs: { query_embeddings: images, input_ids: ids, position_ids: positionIds },
  };
}

/**
 * Causal attention over the cache and this run's rows.
 * @returns context [batch, seq, heads × padded]; rows [batch, seq, 2 × heads × padded]: new keys and values
 */
function selfAttention(
  layers: Layers,
  x: string,
  { prefix, past }: { prefix: string; past: readonly [key: string, value: string] },
  heads: { count: number } & HeadPadding,
  cache: CacheInputs,
): { context: string; rows: string } {
  const { graph, checkpoint } = layers;
  const width = heads.count * heads.size;
  const padded = heads.count * heads.padded;
  const parts = ['q', 'k', 'v'].map((part) => `${prefix}.${part}_proj`);
  const take = (kind: string, shape: number[]) =>
    parts.map((part) => checkpoint.take(`${part}.${kind}`, shape));
  const weight = stacked(take('weight', [width, width]), heads);
  const bias = joined(take('bias', [width]), heads);
  const qkv = graph.op('Add', [
    layers.product(x, `${prefix}.qkv.weight`, weight),
    graph.weight(`${prefix}.qkv.bias`, bias),
  ]);

  const context = cachedAttention(graph, prefix, qkv, past, cache, heads);
  const ends = [graph.int64(padded), graph.int64(3 * padded), graph.int64(2)];
  return { context, rows: graph.op('Slice', [qkv, ...ends]) };
}

/** x [batch, width] → logits [batch, vocab] */
function head(layers: Layers, x: string, config: OptConfig): string {
  const { head: name } = vocabularyTensors(layers.checkpoint, config);
  return layers.vocabulary(x, name, [config.vocab_size, config.hidden_size]);
}

/** Names of embedding and head: a checkpoint whose two are tied may hold either one, or both. */
function vocabularyTensors(checkpoint: Checkpoint, { tie_word_embeddings: tied }: OptConfig) {
  return {
    embedding: tied && !checkpoint.has(EMBED) && checkpoint.has(HEAD) ? HEAD : EMBED,
    head: tied && !checkpoint.has(HEAD) ? EMBED : HEAD,
  };
}
