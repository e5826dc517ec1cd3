/** Causal attention over a KV cache that is only read, for ragged rows, chunks and steps alike. */
import { Graph } from './graph.ts';
import type { HeadPadding } from './weights.ts';

/** What the layers of one decoder share. */
export type CacheInputs = {
  /** int32 [batch]: cached positions + positions of this run − 1 */
  seqlensK: string;
  /** int32 [1]: the longest row's cached positions + positions of this run */
  totalLength: string;
  /** bool [1]: several rows of several positions, some of them on a filled cache */
  rowByRow: string;
  /** int32 [1]: the number one */
  one: string;
};

/** Declares the inputs; `positions` is any int64 [batch, sequence]. */
export function cacheInputs(graph: Graph, positions: string): CacheInputs {
  const seqlensK = graph.input('seqlens_k', 'int32', ['batch']);
  const totalLength = graph.input('total_sequence_length', 'int32', [1]);
  const dim = (i: number) =>
    graph.op('Shape', [positions], { attributes: { start: i, end: i + 1 } });
  const several = (value: string) => graph.op('Greater', [value, graph.int64(1)]);
  const total = graph.op('Cast', [totalLength], { attributes: { to: INT64 } });
  const cacheHolds = graph.op('Greater', [total, dim(1)]);
  const many = graph.op('And', [several(dim(0)), several(dim(1))]);
  return {
    seqlensK,
    totalLength,
    rowByRow: graph.op('And', [many, cacheHolds]),
    one: graph.op('Cast', [graph.int64(1)], { attributes: { to: INT32 } }),
  };
}

/** GroupQueryAttention takes multiples of this only; heads are filled up with zeros, which changes nothing. */
const HEAD_MULTIPLE = 8;

/** Width in the KV cache of a head of `size` values. */
export function cacheHeadDim(size: number): number {
  return Math.ceil(size / HEAD_MULTIPLE) * HEAD_MULTIPLE;
}

/** Keys and values side by side, [batch, seq, 2 × heads × padded] → [1, batch, seq, 2, heads, padded] */
export function splitRows(
  graph: Graph,
  keysAndValues: string,
  heads: { count: number; padded: number },
): string {
  const start = graph.op('Shape', [keysAndValues], { attributes: { start: 0, end: 2 } });
  const shape = graph.op(
    'Concat',
    [graph.int64(1), start, graph.int64(2, heads.count, heads.padded)],
    { attributes: { axis: 0 } },
  );
  return graph.op('Reshape', [keysAndValues, shape]);
}

/** layers × [1, batch, seq, 2, heads, padded] → [layers, 2, batch, heads, seq, padded] */
export function stackRows(graph: Graph, rows: readonly string[]): string {
  const stacked = graph.op('Concat', rows, { attributes: { axis: 0 } });
  return graph.op('Transpose', [stacked], { attributes: { perm: [0, 3, 1, 4, 2, 5] } });
}

const INT32 = 6;
const INT64 = 7;

/**
 * Causal attention over a cache that is only read.
 * @param feeds joint queries, keys and values; cached keys; cached values; seqlens_k; total_sequence_length; and a
 *   bias of the scores, [batch, heads, seq, total], if any
 */
export function groupQueryAttention(
  graph: Graph,
  [qkv = '', keys = '', values = '', seqlens = '', total = '', bias = '']: readonly string[],
  { heads, scale }: { heads: number; scale: number },
): string {
  const inputs = [qkv, '', '', keys, values, seqlens, total];
  return graph.ops(
    'GroupQueryAttention',
    bias === '' ? inputs : [...inputs, '', '', '', bias],
    [true, true, true],
    {
      domain: 'com.microsoft',
      attributes: { num_heads: heads, kv_num_heads: heads, scale: { float: scale } },
    },
  )[0]!;
}

/**
 * GroupQueryAttention refuses several rows of several positions on a filled cache; those, and only
 * those, it gets a row at a time, which gives each row exactly what it gets alone.
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
  const attend = (into: Graph, feeds: readonly string[]) =>
    groupQueryAttention(into, feeds, { heads: heads.count, scale: heads.size ** -0.5 });
  const width = heads.count * heads.padded;

  const together = new Graph(`${name}/together`);
  const all = attend(together, [qkv, ...past, inputs.seqlensK, inputs.totalLength]);
  together.output(`${name}/all`, all, 'float32', ['batch', 'sequence', width]);

  const row = new Graph(`${name}/row`);
  const axis = graph.int64(0);
  const kvDims = [heads.count, 'cache', heads.padded];
  const feeds = [
    row.input(`${name}/row_qkv`, 'float32', ['sequence', 3 * width]),
    row.input(`${name}/row_key`, 'float32', kvDims),
    row.input(`${name}/row_value`, 'float32', kvDims),
    row.input(`${name}/row_seqlen`, 'int32', []),
  ].map((value) => row.op('Unsqueeze', [value, axis]));
  const alone = attend(row, [...feeds, row.op('Add', [feeds[3]!, inputs.one])]);
  const result = row.op('Squeeze', [alone, axis]);
  row.output(`${name}/row_result`, result, 'float32', ['sequence', width]);

  const rows = new Graph(`${name}/rows`);
  const scanned = rows.op('Scan', [qkv, ...past, inputs.seqlensK], {
    attributes: { num_scan_inputs: 4, body: row.asBody() },
  });
  rows.output(`${name}/each`, scanned, 'float32', ['batch', 'sequence', width]);

  return graph.op('If', [inputs.rowByRow], {
    attributes: { then_branch: rows.asBody(), else_branch: together.asBody() },
  });
}
