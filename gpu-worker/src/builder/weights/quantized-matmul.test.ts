import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { EXACT_PRODUCTS } from '../../onnx/exact-products.ts';
import { Graph } from '../../onnx/graph.ts';
import type { Quantization } from '../precision.ts';
import { quantizedMatmul } from './quantized-matmul.ts';

const WIDTH = 96;
const OUT = 40;

const wave = (length: number, seed: number) =>
  Float32Array.from({ length }, (_, i) => Math.sin(seed + 0.37 * i * i));

/** x · Wᵀ as the graph computes it, for x [1, rows, width]. */
async function products(
  quantization: Quantization,
  weights: Float32Array,
  inputs: readonly Float32Array[],
): Promise<Float32Array[]> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'product-'));
  const graph = new Graph('product');
  const x = graph.input('x', 'float32', [1, 'rows', WIDTH]);
  const linear = { out: OUT, in: WIDTH, sourceBytes: 0, read: async () => weights.slice() };
  graph.output('y', quantizedMatmul(graph, x, 'w', linear, quantization), 'float32', [
    1,
    'rows',
    OUT,
  ]);
  await graph.save(folder.path);
  const session = await InferenceSession.create(join(folder.path, 'product.onnx'), {
    extra: { session: EXACT_PRODUCTS },
  });
  const results: Float32Array[] = [];
  for (const input of inputs) {
    const { y } = await session.run({
      x: new Tensor('float32', input, [1, input.length / WIDTH, WIDTH]),
    });
    expect(y?.dims).toEqual([1, input.length / WIDTH, OUT]);
    results.push(Float32Array.from(y?.data as Float32Array));
  }
  await session.release();
  return results;
}

function exact(weights: Float32Array, row: Float32Array): number[] {
  return Array.from({ length: OUT }, (_, out) =>
    row.reduce((sum, value, i) => sum + value * weights[out * WIDTH + i]!, 0),
  );
}

describe.each<Quantization>([{ scales: 'rows' }, { scales: 'blocks', bits: 8, block: 32 }])(
  '$scales',
  (quantization) => {
    const weights = wave(OUT * WIDTH, 1);
    const row = wave(WIDTH, 2);

    it('is near the exact product', async () => {
      const [result] = await products(quantization, weights, [row]);
      const expected = exact(weights, row);
      const error = Math.hypot(...expected.map((value, i) => value - result![i]!));
      expect(error / Math.hypot(...expected)).toBeLessThan(0.015);
    });

    it('of a row is the same alone, beside others and beside one a thousand times larger', async () => {
      const others = wave(4 * WIDTH, 3);
      const beside = Float32Array.of(...row, ...others);
      const besideLarge = Float32Array.of(...row, ...others.map((value) => 1000 * value));
      const [alone, ...batched] = await products(quantization, weights, [row, beside, besideLarge]);
      for (const result of batched) expect(result.subarray(0, OUT)).toEqual(alone);
    });

    it('of zeros is zero', async () => {
      const [result] = await products(quantization, weights, [new Float32Array(2 * WIDTH)]);
      expect(result!.every((value) => value === 0)).toBe(true);
    });
  },
);
