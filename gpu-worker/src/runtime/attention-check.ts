/**
 * Checks whether an execution provider's fused attention gives right numbers on this machine's device. onnxruntime 1.30's for
 * WebGPU does not from 32 queries on where subgroups are of fewer than 8 lanes (SwiftShader has 4; measured with these
 * numbers: off by 0.06 to 0.14), without an error.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Graph } from '../onnx/graph.ts';
import type { ExecutionProvider } from './session-options.ts';

/** More than one block of 32, and a part of another. */
const QUERIES = 40;
const CACHE = 64;
const HEADS = 1;
const SIZE = 32;
const WIDTH = HEADS * SIZE;
/** Sums in another order differ by 1e-6, those in TF32 by 1e-3, wrong ones by 0.1. */
const TOLERANCE = 1e-2;

const checks = new Map<ExecutionProvider, Promise<boolean>>();

/**
 * Checks each provider once a process.
 * @throws Error when the provider cannot be loaded
 */
export function attentionIsRight(provider: ExecutionProvider): Promise<boolean> {
  const check = checks.get(provider) ?? compareWithCpu(provider);
  checks.set(provider, check);
  return check;
}

async function compareWithCpu(provider: ExecutionProvider): Promise<boolean> {
  if (provider === 'cpu') return true;
  const [actual, expected] = [await attend(provider), await attend('cpu')];
  return expected.every((values, i) =>
    values.every((value, j) => Math.abs(value - (actual[i]?.[j] ?? Number.NaN)) < TOLERANCE),
  );
}

async function attend(provider: ExecutionProvider): Promise<Float32Array[]> {
  const session = await InferenceSession.create(attentionGraph().encode(), {
    executionProviders: [provider],
  });
  const wave = (step: number, dims: number[]) => {
    const length = dims.reduce((a, b) => a * b);
    const values = Float32Array.from({ length }, (_, i) => 2 * Math.sin(step * i));
    return new Tensor('float32', values, dims);
  };
  const cached = new Tensor('float32', new Float32Array(CACHE * WIDTH), [1, HEADS, CACHE, SIZE]);
  const result = await session.run({
    qkv: wave(0.37, [1, QUERIES, 3 * WIDTH]),
    score_bias: wave(0.73, [1, 1, QUERIES, QUERIES]),
    past_key: cached,
    past_value: cached,
    seqlens_k: new Tensor('int32', Int32Array.of(QUERIES - 1), [1]),
    total_sequence_length: new Tensor('int32', Int32Array.of(QUERIES), [1]),
  });
  const all = ['plain', 'biased', 'causal'].map((name) => result[name]?.data as Float32Array);
  await session.release();
  return all;
}

/** Attention as the bundles' graphs use it: both ways without and with a bias of the scores, and over a cache. */
function attentionGraph(): Graph {
  const graph = new Graph('attention');
  const qkv = graph.input('qkv', 'float32', [1, QUERIES, 3 * WIDTH]);
  const bias = graph.input('score_bias', 'float32', [1, 1, QUERIES, QUERIES]);
  const past = ['past_key', 'past_value'].map((name) =>
    graph.input(name, 'float32', [1, HEADS, CACHE, SIZE]),
  );
  const seqlens = graph.input('seqlens_k', 'int32', [1]);
  const total = graph.input('total_sequence_length', 'int32', [1]);
  const parts = graph.ops('Split', [qkv], [true, true, true], {
    attributes: { axis: -1, num_outputs: 3 },
  });
  const options = { domain: 'com.microsoft' } as const;
  const attributes = { num_heads: HEADS, scale: { float: SIZE ** -0.5 } };
  const both = (scoreBias: string) =>
    graph.op('MultiHeadAttention', [...parts, '', '', scoreBias], { ...options, attributes });
  const causal = graph.ops(
    'GroupQueryAttention',
    [qkv, '', '', ...past, seqlens, total],
    [true, true, true],
    { ...options, attributes: { ...attributes, kv_num_heads: HEADS } },
  );
  const dims = [1, QUERIES, WIDTH];
  graph.output('plain', both(''), 'float32', dims);
  graph.output('biased', both(bias), 'float32', dims);
  graph.output('causal', causal[0] as string, 'float32', dims);
  return graph;
}
