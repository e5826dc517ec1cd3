/** Opens a graph of a bundle, and runs it by the roles that the manifest gives its tensors. */
import { join } from 'node:path';
import type { BundleGraph, TensorNames } from '@blip2/shared/bundle-graphs';
import { InferenceSession, type Tensor } from 'onnxruntime-node';
import { EXACT_PRODUCTS } from '../onnx/exact-products.ts';
import { attentionIsRight } from './attention-check.ts';
import {
  type ExecutionProvider,
  type SessionOptions,
  supportsDeviceTensors,
} from './session-options.ts';

/** As onnxruntime counts severities. */
const ERRORS = 3;

/** Threads of a run spin while they wait for each other, and stop when it ends: the next session has the cores for itself. */
const SPIN_WITHIN_RUNS = { force_spinning_stop: '1' };

/** A tensor for each role, or one for each layer. */
type Tensors<Names extends TensorNames> = {
  [Role in keyof Names]: Names[Role] extends string ? Tensor : readonly Tensor[];
};

export class GraphSession<G extends BundleGraph> {
  readonly #graph: G;
  readonly #session: InferenceSession;

  constructor(graph: G, session: InferenceSession) {
    this.#graph = graph;
    this.#session = session;
  }

  /**
   * @example const { image_features } = await vision.run({ pixels });
   * @throws Error of onnxruntime when a tensor is of another type or shape than its role asks for
   */
  async run(inputs: Tensors<G['inputs']>): Promise<Tensors<G['outputs']>> {
    const { inputs: inputNames, outputs: outputNames } = this.#graph;
    const feeds = Object.entries(inputNames).flatMap(([role, names]) => {
      const tensors = [inputs[role] as Tensor | readonly Tensor[]].flat();
      return [names].flat().map((name, i) => [name, tensors[i] as Tensor] as const);
    });
    const results = await this.#session.run(Object.fromEntries(feeds));
    const outputs = Object.entries(outputNames).map(([role, names]) => {
      const tensorOf = (name: string) => results[name] as Tensor;
      return [role, typeof names === 'string' ? tensorOf(names) : names.map(tensorOf)] as const;
    });
    return Object.fromEntries(outputs) as Tensors<G['outputs']>;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/**
 * @param bundle the bundle's folder
 * @param graph the graph's entry in the bundle's manifest
 * @param onDevice roles of outputs that stay on the device, where the provider supports that
 * @throws Error that names the execution provider when it cannot be loaded
 */
export async function openGraph<G extends BundleGraph>(
  bundle: string,
  graph: G,
  { executionProvider, threads }: SessionOptions,
  onDevice: readonly (keyof G['outputs'])[] = [],
): Promise<GraphSession<G>> {
  const names = onDevice.flatMap((role) => (graph.outputs as G['outputs'])[role] ?? []);
  const located = Object.fromEntries(names.map((name) => [name, 'gpu-buffer'] as const));
  try {
    const session = await InferenceSession.create(join(bundle, graph.model), {
      executionProviders: [await providerFor(executionProvider, graph)],
      intraOpNumThreads: threads,
      // Buffers of a run come from the arena, one by one, in pages that are mapped already. A memory pattern is one block for
      // all of them, allocated anew for each shape, and too large for the heap.
      enableMemPattern: false,
      // A GPU provider warns, for each graph, that the nodes which compute shapes stay on the CPU, where they belong.
      ...(executionProvider === 'cpu' ? {} : { logSeverityLevel: ERRORS }),
      ...(supportsDeviceTensors(executionProvider) ? { preferredOutputLocation: located } : {}),
      extra: { session: { ...SPIN_WITHIN_RUNS, ...EXACT_PRODUCTS } },
    });
    return new GraphSession(graph, session);
  } catch (cause) {
    throw new Error(
      `The execution provider "${executionProvider}" could not load the model. ` +
        'Set BLIP2_EXECUTION_PROVIDER=cpu, which always works.',
      { cause },
    );
  }
}

/**
 * The provider, with the nodes that it leaves to the CPU: attention where its own is wrong, and look-ups in tables of 16
 * bits, as not every device has that type, and the table, the largest of all weights, need not lie there for a few rows.
 */
async function providerFor(
  provider: ExecutionProvider,
  { nodes }: BundleGraph,
): Promise<InferenceSession.ExecutionProviderConfig> {
  const isRight = await attentionIsRight(provider);
  if (provider !== 'webgpu') {
    if (!isRight) throw new Error('its fused attention gives wrong numbers here');
    return provider;
  }
  const attention = isRight ? [] : nodes.fused_attention;
  return { name: provider, forceCpuNodeNames: [...attention, ...nodes.half_lookups] };
}
