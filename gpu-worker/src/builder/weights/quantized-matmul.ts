/** x · Wᵀ with quantized weights: the nodes that compute it, and the weights they read. */
import type { Graph } from '../../onnx/graph.ts';
import type { Quantization } from '../precision.ts';
import { type Blocks, blockWeights } from './quantize-blocks.ts';
import { rowWeights } from './quantize-rows.ts';
import type { Linear } from './weights.ts';

const CONTRIB = 'com.microsoft';
/** The unsigned 8-bit value of zero. */
const MIDDLE = 128;
const LARGEST = 127;
/** A row of zeros must not be divided by zero. */
const LEAST = 1e-30;

/**
 * [..., in] → [..., out]; a row of the result depends on that row of x alone, bit for bit.
 * @param name unique in the graph
 */
export function quantizedMatmul(
  graph: Graph,
  x: string,
  name: string,
  linear: Linear,
  quantization: Quantization,
): string {
  return quantization.scales === 'blocks'
    ? blockMatmul(graph, x, name, linear, quantization)
    : rowMatmul(graph, x, name, linear);
}

function blockMatmul(graph: Graph, x: string, name: string, linear: Linear, blocks: Blocks) {
  const { packed, scales } = blockWeights(linear, blocks);
  const weights = [graph.weight(`${name}.packed`, packed), graph.weight(`${name}.scales`, scales)];
  const { bits, block } = blocks;
  return graph.op('MatMulNBits', [x, ...weights], {
    domain: CONTRIB,
    // Level 4 also quantizes the input, a block at a time: several times faster, with little error.
    attributes: { K: linear.in, N: linear.out, bits, block_size: block, accuracy_level: 4 },
  });
}

/**
 * Each row of x is scaled so that its largest value is 127, multiplied in integers, and scaled back. Integers add up to the
 * same in any order: no result depends on the batch. (`DynamicQuantizeMatMul` is shorter, but has one scale for all rows
 * of a run.)
 */
function rowMatmul(graph: Graph, x: string, name: string, linear: Linear): string {
  const { levels, scales } = rowWeights(linear);
  const rows = graph.op('Reshape', [x, graph.int64(-1, linear.in)]);
  const last = graph.int64(-1);
  const highest = graph.op('ReduceMax', [rows, last]);
  const lowest = graph.op('Neg', [graph.op('ReduceMin', [rows, last])]);
  const largest = graph.op('Max', [highest, lowest, graph.float32(LEAST)]);
  const scale = graph.op('Mul', [largest, graph.float32(1 / LARGEST)]);
  const perRow = graph.op('Reshape', [scale, last]);
  const middle = graph.uint8(MIDDLE);
  const zeros = graph.op('Expand', [middle, graph.op('Shape', [perRow])]);
  const whole = graph.op('QuantizeLinear', [rows, perRow, zeros], { attributes: { axis: 0 } });
  const product = graph.op(
    'MatMulIntegerToFloat',
    [
      whole,
      graph.weight(`${name}.levels`, levels),
      graph.float32(1),
      graph.weight(`${name}.scales`, scales),
      middle,
    ],
    { domain: CONTRIB },
  );
  const leading = graph.op('Shape', [x], { attributes: { start: 0, end: -1 } });
  const shape = graph.op('Concat', [leading, graph.int64(linear.out)], {
    attributes: { axis: 0 },
  });
  return graph.op('Reshape', [graph.op('Mul', [product, scale]), shape]);
}
