/** Probes an execution provider on this machine: whether it loads, whether it computes right, and how fast. */
import { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';
import { Graph } from '../../onnx/graph.ts';
import { attentionIsRight } from '../attention-check.ts';
import type { ExecutionProvider } from '../session-options.ts';

export type Probe =
  | { state: 'failed'; reason: string }
  | {
      state: 'loaded';
      /** Whether its products are right. */
      products: boolean;
      /** Whether its fused attention is. */
      attention: boolean;
      /** The CPU's time for the same products over its own. */
      speed: number;
    };

const WIDTH = 1024;
const PRODUCTS = 4;
/** Rows of a decode step, and of a prompt. */
const FEW = 4;
const MANY = 64;
/** Of values around 1, whose error in TF32, where that is enabled, is 1e-3. */
const TOLERANCE = 1e-2;
/** The first run compiles; of the others the best counts. */
const RUNS = 2;
/** So slow with few rows is only a GPU that the CPU emulates: SwiftShader would take seconds for many. */
const HOPELESS = 1 / 20;

export async function probe(provider: ExecutionProvider): Promise<Probe> {
  // onnxruntime ignores a name that it does not know: everything would run on the CPU.
  if (!listSupportedBackends().some(({ name }) => name === provider)) {
    return { state: 'failed', reason: 'onnxruntime-node has none for this platform' };
  }
  try {
    const [own, cpu] = [await open(provider), await open('cpu')];
    const few = [await multiply(own, FEW), await multiply(cpu, FEW)] as const;
    const products = few[0].values.every(
      (value, i) => Math.abs(value - (few[1].values[i] ?? Number.NaN)) < TOLERANCE,
    );
    let speed = few[1].ms / few[0].ms;
    if (speed > HOPELESS) speed = (await multiply(cpu, MANY)).ms / (await multiply(own, MANY)).ms;
    const attention = await attentionIsRight(provider);
    return { state: 'loaded', products, attention, speed };
  } catch (error) {
    return { state: 'failed', reason: String(error) };
  }
}

function open(provider: ExecutionProvider): Promise<InferenceSession> {
  return InferenceSession.create(productGraph().encode(), { executionProviders: [provider] });
}

async function multiply(
  session: InferenceSession,
  rows: number,
): Promise<{ values: Float32Array; ms: number }> {
  const x = new Tensor('float32', noise(rows * WIDTH), [rows, WIDTH]);
  let values = new Float32Array(0) as Float32Array;
  let ms = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    const { y } = await session.run({ x });
    if (run > 0) ms = Math.min(ms, performance.now() - start);
    values = y?.data as Float32Array;
  }
  return { values, ms };
}

/** x · W · W … */
function productGraph(): Graph {
  const graph = new Graph('products');
  // Scaled so that the results are as large as the factors.
  const weight = noise(WIDTH * WIDTH).map((value) => value * Math.sqrt(3 / WIDTH));
  const table = graph.table('weight', [WIDTH, WIDTH], weight);
  let x = graph.input('x', 'float32', ['rows', WIDTH]);
  for (let i = 0; i < PRODUCTS; i++) x = graph.op('MatMul', [x, table]);
  graph.output('y', x, 'float32', ['rows', WIDTH]);
  return graph;
}

/** Numbers from −1 to 1, the same every time: a linear congruential generator is random enough to multiply. */
function noise(length: number): Float32Array {
  let state = length;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  });
}
