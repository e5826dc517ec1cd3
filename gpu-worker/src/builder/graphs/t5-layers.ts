/** The layers of T5 (arXiv 1910.10683, v1.1): RMS norm, no biases, no scaling of scores, learned relative positions. */
import type { Graph } from '../../onnx/graph.ts';
import type { T5Config } from '../config/text-config.ts';
import { type HeadPadding, padInputHeads, stack, transformedWeight } from '../weights/weights.ts';
import type { Layers } from './layers.ts';

const CONTRIB = 'com.microsoft';

/** Positions that the tables of relative positions reach: nothing else limits T5. */
export const T5_MAX_POSITIONS = 1024;

export type T5Heads = { count: number } & HeadPadding;

export class T5Layers {
  readonly graph: Graph;
  readonly #layers: Layers;
  readonly #config: T5Config;
  readonly #heads: T5Heads;

  constructor(layers: Layers, config: T5Config, heads: T5Heads) {
    this.graph = layers.graph;
    this.#layers = layers;
    this.#config = config;
    this.#heads = heads;
  }

  /** x · Wᵀ of several projections to heads, [..., width] → [..., parts × heads × padded] */
  toHeads(x: string, prefixes: readonly string[]): string {
    const { d_model, d_kv } = this.#config;
    const names = prefixes.map((prefix) => `${prefix}.weight`);
    const tensors = names.map((name) => {
      return this.#layers.checkpoint.tensor(name, [this.#heads.count * d_kv, d_model]);
    });
    return this.#layers.linear(x, names.join('|'), stack(tensors, this.#heads));
  }

  /** x · Wᵀ back from heads, [..., heads × padded] → [..., width] */
  fromHeads(x: string, prefix: string): string {
    const { d_model, d_kv } = this.#config;
    const name = `${prefix}.weight`;
    const tensor = this.#layers.checkpoint.tensor(name, [d_model, this.#heads.count * d_kv]);
    return this.#layers.linear(x, name, padInputHeads(tensor, this.#heads));
  }

  /** x / rms(x) · weight */
  norm(x: string, prefix: string): string {
    return this.graph.op('SimplifiedLayerNormalization', [x, this.#scale(prefix)], {
      attributes: { axis: -1, epsilon: { float: this.#config.layer_norm_epsilon } },
    });
  }

  /** Residual sum and norm in one kernel: sum = x + residual, normed = norm(sum). */
  addNorm(x: string, residual: string, prefix: string): { normed: string; sum: string } {
    const [normed, , , sum] = this.graph.ops(
      'SkipSimplifiedLayerNormalization',
      [x, residual, this.#scale(prefix)],
      [true, false, false, true],
      { domain: CONTRIB, attributes: { epsilon: { float: this.#config.layer_norm_epsilon } } },
    );
    return { normed: normed!, sum: sum! };
  }

  /** wo(act(wi_0 x) · wi_1 x) */
  feedForward(x: string, prefix: string): string {
    const { d_model: width, d_ff: inner, dense_act_fn } = this.#config;
    const gates = [`${prefix}.wi_0`, `${prefix}.wi_1`];
    const [gate, up] = this.#layers.split(this.#layers.jointMatmul(x, gates, width, inner), 2);
    const kernel = dense_act_fn === 'gelu' ? 'Gelu' : 'FastGelu';
    const active = this.graph.op(kernel, [gate!], { domain: CONTRIB });
    const gated = this.graph.op('Mul', [active, up!]);
    return this.#layers.matmul(gated, `${prefix}.wo`, inner, width);
  }

  /**
   * Bias of a stack's attention scores.
   * @param distances int64 [...]: key position − query position, within ± T5_MAX_POSITIONS
   * @returns float32 [..., heads]
   */
  relativeBias(distances: string, stack: 'encoder' | 'decoder'): string {
    const { relative_attention_num_buckets: buckets, num_heads: heads } = this.#config;
    const name = `language_model.${stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`;
    const span = 2 * T5_MAX_POSITIONS + 1;
    const tensor = this.#layers.checkpoint.tensor(name, [buckets, heads]);
    const table = transformedWeight(tensor, [span, heads], (values) => {
      const rows = new Float32Array(span * heads);
      for (let i = 0; i < span; i++) {
        const bucket = bucketOf(i - T5_MAX_POSITIONS, this.#config, stack);
        rows.set(values.subarray(bucket * heads, (bucket + 1) * heads), i * heads);
      }
      return rows;
    });
    const index = this.graph.op('Add', [distances, this.graph.int64(T5_MAX_POSITIONS)]);
    return this.graph.op('Gather', [this.graph.weight(name, table), index]);
  }

  #scale(prefix: string): string {
    return this.#layers.weight(`${prefix}.weight`, [this.#config.d_model]);
  }
}

/**
 * Bucket of a distance, with the float32 arithmetic of `T5Attention._relative_position_bucket`.
 * @param distance key position − query position
 */
export function bucketOf(
  distance: number,
  config: Pick<T5Config, 'relative_attention_num_buckets' | 'relative_attention_max_distance'>,
  stack: 'encoder' | 'decoder',
): number {
  const both = stack === 'encoder';
  const buckets = both
    ? Math.floor(config.relative_attention_num_buckets / 2)
    : config.relative_attention_num_buckets;
  const offset = both && distance > 0 ? buckets : 0;
  const far = both ? Math.abs(distance) : Math.max(0, -distance);
  const exact = Math.floor(buckets / 2);
  if (far < exact) return offset + far;
  const f = Math.fround;
  const ratio = f(
    f(Math.log(f(far / exact))) / f(Math.log(config.relative_attention_max_distance / exact)),
  );
  const large = exact + Math.trunc(f(ratio * (buckets - exact)));
  return offset + Math.min(large, buckets - 1);
}
