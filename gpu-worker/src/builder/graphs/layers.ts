/** The layers that the models share, over one checkpoint and one graph. x is float32 [batch, seq, width]. */
import type { Precision } from '@blip2/shared/precision';
import type { Graph } from '../../onnx/graph.ts';
import { ELEMENT_TYPE } from '../../onnx/model-proto.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { type ModelPart, quantizationOf } from '../precision.ts';
import { quantizedMatmul } from '../weights/quantized-matmul.ts';
import {
  asFloat16,
  asWeight,
  concat,
  type Linear,
  stack,
  transposedWeight,
} from '../weights/weights.ts';
import { FUSED_ATTENTION, HALF_LOOKUP } from './described-graph.ts';

const CONTRIB = 'com.microsoft';
/** Added to a score, it leaves nothing of it: its share after softmax is zero. */
const MASKED = -1e30;

/** The weights that graphs are built of, and their precision. */
export type WeightSource = { checkpoint: Checkpoint; precision: Precision };

/** Width of heads, for attention layers. */
export type Heads = { count: number; size: number };

export class Layers {
  readonly graph: Graph;
  readonly checkpoint: Checkpoint;
  readonly #precision: Precision;
  readonly #part: ModelPart;

  constructor(graph: Graph, { checkpoint, precision }: WeightSource, part: ModelPart) {
    this.graph = graph;
    this.checkpoint = checkpoint;
    this.#precision = precision;
    this.#part = part;
  }

  /** A tensor under its own name and shape. */
  weight(name: string, shape: readonly number[]): string {
    return this.graph.weight(name, asWeight(this.checkpoint.tensor(name, shape)));
  }

  /** Rows of a table, ids int64 [...] → [..., width]. Beside quantized weights the table has 16 bits: its values are never summed. */
  lookUp(name: string, shape: readonly [rows: number, width: number], ids: string): string {
    const { graph } = this;
    if (this.#precision === 'fp32') return graph.op('Gather', [this.weight(name, shape), ids]);
    const half = asFloat16(this.checkpoint.tensor(name, shape));
    const rows = graph.op('Gather', [graph.weight(`${name}.half`, half), ids], {
      role: HALF_LOOKUP,
    });
    return graph.op('Cast', [rows], {
      attributes: { to: ELEMENT_TYPE.float32 },
      role: HALF_LOOKUP,
    });
  }

  /** x · Wᵀ, [..., from] → [..., to]; the bias is left to what follows. */
  matmul(x: string, prefix: string, from: number, to: number): string {
    return this.jointMatmul(x, [prefix], from, to);
  }

  /** Several linear layers of the same input in one MatMul, [..., from] → [..., prefixes × to]. */
  jointMatmul(x: string, prefixes: readonly string[], from: number, to: number): string {
    const names = prefixes.map((prefix) => `${prefix}.weight`);
    const tensors = names.map((name) => this.checkpoint.tensor(name, [to, from]));
    return this.linear(x, names.join('|'), stack(tensors));
  }

  /**
   * x · Wᵀ in the precision of this part, [..., in] → [..., out].
   * @param name unique in the graph
   */
  linear(x: string, name: string, linear: Linear, part = this.#part): string {
    const quantization = quantizationOf(this.#precision, part, linear.in);
    if (quantization === null) return this.#float32Matmul(x, name, linear);
    return quantizedMatmul(this.graph, x, name, linear, quantization);
  }

  /**
   * Logits: x · Wᵀ with the vocabulary's matrix, [batch, width] → [batch, vocab]. In float32 the matrix lies as in the
   * checkpoint, so that where it is tied to the embedding the two share one weight.
   */
  lmHead(x: string, name: string, shape: readonly [vocab: number, width: number]): string {
    const tensor = this.checkpoint.tensor(name, shape);
    if (quantizationOf(this.#precision, 'head', shape[1]) !== null) {
      return this.linear(x, `${name}.head`, stack([tensor]), 'head');
    }
    const weight = this.graph.weight(name, asWeight(tensor));
    return this.graph.op('Gemm', [x, weight], { attributes: { transB: 1 } });
  }

  #float32Matmul(x: string, name: string, linear: Linear): string {
    return this.graph.op('MatMul', [x, this.graph.weight(name, transposedWeight(linear))]);
  }

  bias(prefix: string, width: number): string {
    return this.weight(`${prefix}.bias`, [width]);
  }

  jointBias(prefixes: readonly string[], width: number): string {
    const names = prefixes.map((prefix) => `${prefix}.bias`);
    const tensors = names.map((name) => this.checkpoint.tensor(name, [width]));
    return this.graph.weight(names.join('|'), concat(tensors));
  }

  /** x · Wᵀ + b of a projection between parts of the model, always in float32, [..., from] → [..., to] */
  projection(x: string, prefix: string, from: number, to: number): string {
    const name = `${prefix}.weight`;
    const linear = stack([this.checkpoint.tensor(name, [to, from])]);
    return this.graph.op('Add', [this.#float32Matmul(x, name, linear), this.bias(prefix, to)]);
  }

  layerNorm(x: string, prefix: string, width: number, epsilon: number): string {
    return this.graph.op('LayerNormalization', [x, ...this.#norm(prefix, width)], {
      attributes: { axis: -1, epsilon: { float: epsilon } },
    });
  }

  /**
   * Residual sum and layer norm: sum = x + residual + bias, normed = LN(sum). Three kernels: the one that does it all
   * (`SkipLayerNormalization`) takes twice as long for a prompt and as long for a step.
   * @param bias of the linear layer that computed `x`; the kernel of quantized blocks adds it in the same pass
   */
  addNorm(
    x: string,
    residual: string,
    bias: string,
    norm: { prefix: string; width: number; epsilon: number },
  ): { normed: string; sum: string } {
    const sum = this.graph.op('Add', [this.graph.op('Add', [x, bias]), residual]);
    return { normed: this.layerNorm(sum, norm.prefix, norm.width, norm.epsilon), sum };
  }

  /** Exact (erf) GELU of x + bias. */
  gelu(x: string, bias: string): string {
    return this.graph.op('BiasGelu', [x, bias], { domain: CONTRIB });
  }

  /** CLIP's approximation of GELU, y · σ(1.702 y) with y = x + bias. */
  quickGelu(x: string, bias: string): string {
    return this.graph.op('QuickGelu', [this.graph.op('Add', [x, bias])], {
      domain: CONTRIB,
      attributes: { alpha: { float: 1.702 } },
    });
  }

  /**
   * Attention in both directions, scores scaled by size^-0.5.
   * @param query [batch, queries, width], key and value [batch, keys, width]
   * @param bias [3 × width] of query, key and value, or '' for none
   * @param scoreBias added to the scores, [batch or 1, heads or 1, queries, keys]; '' for none
   * @returns [batch, queries, width]
   */
  attention(
    query: string,
    key: string,
    value: string,
    bias: string,
    heads: Heads,
    scoreBias = '',
  ): string {
    return this.graph.op('MultiHeadAttention', [query, key, value, bias, '', scoreBias], {
      domain: CONTRIB,
      attributes: { num_heads: heads.count, scale: { float: heads.size ** -0.5 } },
      role: FUSED_ATTENTION,
    });
  }

  /**
   * Bias of scores that masks padding on the right, [batch, 1, queries, keys]. (Not every execution provider has the
   * kernels' own masks.)
   * @param lengths int64 [batch]: keys that are not padding
   * @param queries and keys, int64 [1]: how many they are
   */
  paddingMask(lengths: string, queries: string, keys: string): string {
    const { graph } = this;
    const perRow = graph.op('Unsqueeze', [lengths, graph.int64(1)]);
    const isPadding = graph.op('GreaterOrEqual', [this.arange(keys), perRow]);
    const asNumber = graph.op('Cast', [isPadding], { attributes: { to: ELEMENT_TYPE.float32 } });
    const bias = graph.op('Mul', [asNumber, graph.float32(MASKED)]);
    const forAll = graph.op('Unsqueeze', [bias, graph.int64(1, 2)]);
    const shape = graph.op('Concat', [graph.int64(1, 1), queries, graph.int64(1)], {
      attributes: { axis: 0 },
    });
    return graph.op('Expand', [forAll, shape]);
  }

  /** 0 … count − 1 of an int64 [1] */
  arange(count: string): string {
    const { graph } = this;
    const end = graph.op('Squeeze', [count]);
    const [zero, one] = [0, 1].map((value) => graph.op('Squeeze', [graph.int64(value)]));
    return graph.op('Range', [zero!, end, one!]);
  }

  /** [..., parts × width] → parts of [..., width] */
  split(x: string, parts: number): string[] {
    return this.graph.ops('Split', [x], Array(parts).fill(true), {
      attributes: { axis: -1, num_outputs: parts },
    });
  }

  /** Gathers positions of each row: x [batch, seq, width], index int64 [batch, n] or [batch] → [batch, n, width] or [batch, width]. */
  gatherPositions(x: string, index: string): string {
    const indices = this.graph.op('Unsqueeze', [index, this.graph.int64(-1)]);
    return this.graph.op('GatherND', [x, indices], { attributes: { batch_dims: 1 } });
  }

  /** Positions `start` … `end` − 1 of [batch, seq, width]. */
  slice(x: string, start: number, end = Number.MAX_SAFE_INTEGER): string {
    const { graph } = this;
    return graph.op('Slice', [x, graph.int64(start), graph.int64(end), graph.int64(1)]);
  }

  /** A constant [1, seq, width], repeated for every row of `like`: [batch, seq, width]. */
  expandLike(like: string, constant: string): string {
    const batch = this.graph.op('Shape', [like], { attributes: { start: 0, end: 1 } });
    const shape = this.graph.op('Concat', [batch, this.graph.int64(1, 1)], {
      attributes: { axis: 0 },
    });
    return this.graph.op('Expand', [constant, shape]);
  }

  /** Unit vectors along the last axis, [..., width]: x / max(|x|, 1e-12), as torch normalizes. */
  normalize(x: string): string {
    const squares = this.graph.op('ReduceSumSquare', [x, this.graph.int64(-1)]);
    const length = this.graph.op('Sqrt', [squares]);
    const least = this.graph.op('Max', [length, this.graph.float32(1e-12)]);
    return this.graph.op('Div', [x, least]);
  }

  #norm(prefix: string, width: number): [scale: string, bias: string] {
    return [this.weight(`${prefix}.weight`, [width]), this.weight(`${prefix}.bias`, [width])];
  }
}
