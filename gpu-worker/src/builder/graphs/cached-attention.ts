/** Causal attention over a KV cache that is only read, for ragged rows, chunks and steps alike. */
import { Graph } from '../../onnx/graph.ts';
import { ELEMENT_TYPE } from '../../onnx/model-proto.ts';
import type { HeadPadding } from '../weights/weights.ts';
import { FUSED_ATTENTION } from './described-graph.ts';
import type { Layers } from './layers.ts';

/** What the layers of one decoder share. */
export type CacheInputs = {
  /** bool [1]: every row has one position, a decode step */
  isStep: string;
  /** float32 [batch, 1, 1, 1 + cache]: what `stepAttention` adds to the scores of a step */
  stepBias: string;
  /** int32 [batch]: cached positions + positions of this run − 1 */
  seqlensK: string;
  /** int32 [1]: the longest row's cached positions + positions of this run */
  totalLength: string;
  /** bool [1]: several rows of several positions, some of them on a filled cache */
  rowByRow: string;
};

/**
 * Declares the inputs.
 * @param positions any int64 [batch, sequence]
 * @param anyPast one of the cached keys, [batch, heads, cache, padded]
 */
export function cacheInputs(layers: Layers, positions: string, anyPast: string): CacheInputs {
  const { graph } = layers;
  const seqlensK = graph.input('seqlens_k', 'int32', ['batch']);
  const totalLength = graph.input('total_sequence_length', 'int32', [1]);
  const dim = (i: number) =>
    graph.op('Shape', [positions], { attributes: { start: i, end: i + 1 } });
  const several = (value: string) => graph.op('Greater', [value, graph.int64(1)]);
  const total = graph.op('Cast', [totalLength], { attributes: { to: ELEMENT_TYPE.int64 } });
  const cacheHolds = graph.op('Greater', [total, dim(1)]);
  const many = graph.op('And', [several(dim(0)), several(dim(1))]);
  return {
    isStep: graph.op('Equal', [dim(1), graph.int64(1)]),
    stepBias: hideUnwritten(layers, seqlensK, anyPast),
    seqlensK,
    totalLength,
    rowByRow: graph.op('And', [many, cacheHolds]),
  };
}

/** GroupQueryAttention takes multiples of this only; heads are filled up with zeros, which changes nothing. */
const HEAD_MULTIPLE = 8;

/** Width in the KV cache of a head of `size` values. */
export function cacheHeadDim(size: number): number {
  return Math.ceil(size / HEAD_MULTIPLE) * HEAD_MULTIPLE;
}

/**
 * Declares what a run adds to the cache: `<name>.0` and so on, one output a layer, as the layers made them. One tensor of all
 * would be joined and turned round first, tens of megabytes of a prompt.
 * @param rows of each layer keys and values side by side, [batch, seq, 2 × heads × padded]
 * @returns names of the outputs
 */
export function outputRows(
  graph: Graph,
  name: string,
  rows: readonly string[],
  heads: { count: number; padded: number },
): string[] {
  const dims = ['batch', 'sequence', 2 * heads.count * heads.padded];
  return rows.map((keysAndValues, i) => {
    return graph.output(`${name}.${i}`, keysAndValues, 'float32', dims);
  });
}

/**
 * Bias of a step's scores, float32 [batch, 1, 1, 1 + cache]: of the row's own position and of its cache, as far as it is
 * written.
 * @param past int32 [batch]: positions of each row that are in the cache
 * @param anyPast one of the cached keys, [batch, heads, cache, padded]
 */
export function hideUnwritten(layers: Layers, past: string, anyPast: string): string {
  const { graph } = layers;
  const one = graph.int64(1);
  const capacity = graph.op('Shape', [anyPast], { attributes: { start: 2, end: 3 } });
  const cached = graph.op('Cast', [past], { attributes: { to: ELEMENT_TYPE.int64 } });
  const seen = graph.op('Add', [cached, one]);
  return layers.hidePadding(seen, one, graph.op('Add', [capacity, one]));
}

/**
 * Attention of a decode step, one position a row. GroupQueryAttention would copy the whole cache for each step, as its
 * result has to be another buffer (ENGINE.md): a fifth of a step of eight rows, and the cache twice in memory.
 * @param graph takes the nodes; constants belong to `outer`
 * @param feeds joint queries, keys and values [batch, 1, 3 × heads × padded]; cached keys and values, [batch, heads, cache,
 *   padded] each, finite all over; bias of the scores, [batch, 1 or heads, 1, 1 + cache], own position first
 * @returns [batch, 1, heads × padded]
 */
export function stepAttention(
  { graph, outer }: { graph: Graph; outer: Graph },
  [qkv = '', keys = '', values = '', bias = '']: readonly string[],
  { count, padded, scale }: { count: number; padded: number; scale: number },
): string {
  const reshape = (x: string, ...dims: number[]) => graph.op('Reshape', [x, outer.int64(...dims)]);
  const parts = graph.ops('Split', [qkv], [true, true, true], {
    attributes: { axis: -1, num_outputs: 3 },
  });
  // Scaled before it is split into heads: the optimizer would make the scale a factor of both products, and kernels of one row
  // take none.
  const asked = scale === 1 ? parts[0]! : graph.op('Mul', [parts[0]!, outer.float32(scale)]);
  const query = reshape(asked, -1, count, 1, padded);
  const key = reshape(parts[1]!, -1, count, padded, 1);
  const value = reshape(parts[2]!, -1, count, 1, padded);
  // The optimizer makes one kernel of the two: nothing is turned round in memory.
  const turned = graph.op('Transpose', [keys], { attributes: { perm: [0, 1, 3, 2] } });
  const scores = graph.op(
    'Concat',
    [graph.op('MatMul', [query, key]), graph.op('MatMul', [query, turned])],
    { attributes: { axis: -1 } },
  );
  const weights = graph.op('Softmax', [graph.op('Add', [scores, bias])], {
    attributes: { axis: -1 },
  });
  const cut = (from: number, to: number) =>
    graph.op('Slice', [weights, ...[from, to, -1].map((at) => outer.int64(at))]);
  const context = graph.op('Add', [
    graph.op('MatMul', [cut(1, Number.MAX_SAFE_INTEGER), values]),
    graph.op('Mul', [cut(0, 1), value]),
  ]);
  return reshape(context, -1, 1, count * padded);
}

/**
 * A step, or several positions at once. GroupQueryAttention refuses several rows of several positions on a filled cache;
 * those, and only those, it gets a row at a time, which gives each row exactly what it gets alone.
 * @param name unique in the graph
 * @param qkv [batch, seq, 3 × heads × padded]
 * @param past keys and values, [batch, heads, cache, padded] each
 * @returns [batch, seq, heads × padded]
 */
export function cachedAttention(
  graph: Graph,
  name: string,
  qkv: string,
  past: readonly [string, string],
  inputs: CacheInputs,
  heads: { count: number } & HeadPadding,
): string {
  const { count, padded } = heads;
  const scale = heads.size ** -0.5;
  const attend = (into: Graph, [joint = '', ...rest]: readonly string[]) =>
    into.ops('GroupQueryAttention', [joint, '', '', ...rest], [true, true, true], {
      domain: 'com.microsoft',
      attributes: { num_heads: count, kv_num_heads: count, scale: { float: scale } },
      role: FUSED_ATTENTION,
    })[0]!;
  const width = count * padded;

  const together = new Graph(`${name}/together`);
  const all = attend(together, [qkv, ...past, inputs.seqlensK, inputs.totalLength]);
  together.output(`${name}/all`, all, 'float32', ['batch', 'sequence', width]);

  const row = new Graph(`${name}/row`);
  const axis = graph.int64(0);
  const kvDims = [count, 'cache', padded];
  const feeds = [
    row.input(`${name}/row_qkv`, 'float32', ['sequence', 3 * width]),
    row.input(`${name}/row_key`, 'float32', kvDims),
    row.input(`${name}/row_value`, 'float32', kvDims),
    row.input(`${name}/row_seqlen`, 'int32', []),
  ].map((value) => row.op('Unsqueeze', [value, axis]));
  const alone = attend(row, [...feeds, row.op('Add', [feeds[3]!, graph.int32(1)])]);
  const result = row.op('Squeeze', [alone, axis]);
  row.output(`${name}/row_result`, result, 'float32', ['sequence', width]);

  const rows = new Graph(`${name}/rows`);
  const scanned = rows.op('Scan', [qkv, ...past, inputs.seqlensK], {
    attributes: { num_scan_inputs: 4, body: row.asBody() },
  });
  rows.output(`${name}/each`, scanned, 'float32', ['batch', 'sequence', width]);

  const several = new Graph(`${name}/several`);
  const read = several.op('If', [inputs.rowByRow], {
    attributes: { then_branch: rows.asBody(), else_branch: together.asBody() },
  });
  several.output(`${name}/read`, read, 'float32', ['batch', 'sequence', width]);

  const step = new Graph(`${name}/step`);
  const places = { graph: step, outer: graph };
  const stepped = stepAttention(places, [qkv, ...past, inputs.stepBias], { count, padded, scale });
  step.output(`${name}/stepped`, stepped, 'float32', ['batch', 'sequence', width]);

  return graph.op('If', [inputs.isStep], {
    attributes: { then_branch: step.asBody(), else_branch: several.asBody() },
  });
}
